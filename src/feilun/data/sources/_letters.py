"""What languages are written with: letters beyond ASCII, short words, frequent characters."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FREQUENT", "LANGUAGES", "PUNCTUATION", "Language"]


@dataclass(frozen=True, slots=True)
class Language:
    """`letters` in lower case, the more frequent first, without a to z; `words` that every text
    has, in lower case; `encodings` of one byte a character, the more usual first."""

    name: str
    letters: str
    words: frozenset[str]
    encodings: tuple[str, ...]


def _language(name: str, letters: str, words: str, encodings: str) -> Language:
    return Language(name, letters, frozenset(words.split()), tuple(encodings.split()))


_WEST = "cp1252 iso8859-15 mac-roman cp850"
_EAST = "cp1250 iso8859-2 cp852"
_BALTIC = "cp1257 iso8859-13"
_CYRILLIC = "cp1251 koi8-r cp866 iso8859-5"

LANGUAGES = (
    _language("English", "éïèêçñöüáíóâ", "the and of to is in for with was not", _WEST),
    _language(
        "German",
        "üäöß",
        "der die das und ist nicht ein eine zu mit auf für von den sich werden wird kann sehr",
        _WEST,
    ),
    _language(
        "French",
        "éèàêçôîûâùëïœæÿ",
        "le la les de des et est un une en pour pas que qui du dans sur au très ne ce par",
        _WEST,
    ),
    _language(
        "Spanish",
        "óíáéñúü",
        "el la los las de del que y en un una no se por con para es al lo más muy su",
        _WEST,
    ),
    _language(
        "Portuguese",
        "ãçáéíóêõúâàôü",
        "o a os as de do da dos das que e em um uma não se por com para é no na ao mais muito",
        _WEST,
    ),
    _language(
        "Italian",
        "èàòùìé",
        "il lo la i gli le di del della che e è un una non per con in si da al sono come molto",
        _WEST,
    ),
    _language(
        "Catalan",
        "óàéèíòúçïü·",
        "el la els les de del que i en un una no es per amb al ha és s'ha molt si fitxer",
        _WEST,
    ),
    _language(
        "Dutch",
        "ëéïèöüêáóàçâ",
        "de het een en van is niet in op te voor met dat die zijn aan bij om kan niet wordt",
        _WEST,
    ),
    _language(
        "Swedish", "äåöéüà", "och att det som en är inte på av för med till ett den kan har", _WEST
    ),
    _language(
        "Danish",
        "øåæéüö",
        "og i at det en er ikke på af for med til som den et kan har ikke fra",
        _WEST,
    ),
    _language("Norwegian", "åøæéòôêü", "og i det en er ikke på av for med til som den et", _WEST),
    _language(
        "Finnish",
        "äöåšžé",
        "ja on ei se että tai voi ole kun jos oli mutta sen niin kuin myös ovat",
        _WEST,
    ),
    _language(
        "Icelandic", "íðáóéöþúýæ", "og að í er á sem ekki til en við um það var með", _WEST
    ),
    _language(
        "Polish",
        "łóżęąśćńź",
        "nie się jest na w z do i że to po za od przez lub dla jak ale był",
        _EAST,
    ),
    _language(
        "Czech",
        "íáéěřýžčšůúťďňóö",
        "a je se na v to že s z do o k pro nebo není jako byl ale za po",
        _EAST,
    ),
    _language(
        "Slovak",
        "áíéýžčšúľôťďňóäŕĺ",
        "a je sa na v to že s z do o pre alebo nie ako bol ale po",
        _EAST,
    ),
    _language(
        "Hungarian",
        "áéöóőüíúű",
        "a az és hogy nem egy van is meg de ez ki el vagy csak volt nagyon",
        _EAST,
    ),
    _language("Croatian", "šžćčđ", "je i u na se da nije za od ne s su ili kao bio ali", _EAST),
    _language("Slovenian", "čšžćđ", "je in v na se da ni za od ne s so ali kot bil pa", _EAST),
    _language(
        "Romanian",
        "ăîşţâșț",
        "de şi și nu la cu în este pe un o din că care pentru sau fost",
        "cp1250 iso8859-16 iso8859-2",
    ),
    _language(
        "Turkish",
        "ıüşğçöİâîû",
        "ve bir bu için ile de da çok değil olarak ne gibi daha en kadar ama mi",
        "cp1254 iso8859-9 cp857",
    ),
    _language(
        "Lithuanian", "ėšųžįčūąę", "ir yra ne į kad su tai iš ar buvo bet nėra kaip per", _BALTIC
    ),
    _language("Latvian", "āīšēūņļžķčģ", "un ir nav ar no uz tas lai bet par kā vai", _BALTIC),
    _language("Estonian", "äõüöšž", "ja on ei see et ning või oli aga kui ka", _BALTIC),
    _language(
        "Vietnamese",
        "đ\u0301\u0300\u0323\u0309\u0303âêôươăàạáảãầấậẩẫăằắặẳẵèéẹẻẽêềếệểễìíịỉĩòóọỏõôồốộổỗơờớợởỡùúụủũưừứựửữỳýỵỷỹ",
        "không và là các có cho một trong của được này khi với để bị rất",
        "cp1258",
    ),
    _language(
        "Russian", "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", "и в не на с что по для это", _CYRILLIC
    ),
    _language(
        "Ukrainian",
        "оанитвіреслкдумпязьбгчйхцїєжшющфґ",
        "і в не на з що до та для як це",
        "cp1251 koi8-u iso8859-5",
    ),
    _language(
        "Bulgarian",
        "аоиетнрсвлдпкмзъуябгчщцйшжхфюь",
        "и в не на с за да се от е по",
        "cp1251 iso8859-5",
    ),
    _language(
        "Serbian",
        "аоиенрстјудклмпвзбгчшжцћхђљњџф",
        "и у не на је да се за од",
        "cp1251 iso8859-5",
    ),
    _language(
        "Greek",
        "αοιετσνρπκλυμςδγωχθφβηξζψίόάέήύώϊϋΐΰ",
        "και το να η ο την της τα του δεν με για είναι",
        "cp1253 iso8859-7",
    ),
    _language("Hebrew", "יוהלאתרבמשןנםקדכעפחטגזצסךףץ", "של לא את על עם זה", "cp1255 iso8859-8"),
    _language(
        "Arabic",
        "اليمنتربدعسفهكةحقجطصشخذأضىزغئءإثؤظآًٌٍَُِّْـ",
        "في من على لا أن هذا",
        "cp1256 iso8859-6",
    ),
    _language(
        "Thai",
        "านรอกเงมยลวดท่ส้ตะปบคหัไีแจิพชขใโ็ุูำถซผืฟึศฉธณฐษญภฎฏฑฒฆฤๆ์ฝฮฬฯ",
        "",
        "cp874",
    ),
)  # fmt: skip

PUNCTUATION = frozenset("«»“”„‘’‚‹›–—…€£°·•©®™№§¿¡ºª²½×±\xa0")

_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道"
    "行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意"
    "无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什"
    "二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义"
    "各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金"
    "指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求"
    "据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运差评质退货颜漂亮喜欢服快慢流客包装收买"
    "卖推荐价便宜满味酒店房环境款换坏错单送谢店户网帮费贴诉投码线源置示默认输文件选项无效版权限错误，。！？"
    "、：；“”（）《》—…　０１２３４５６７８９"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道"
    "行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日者意無"
    "力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應向頭文體美相見被利什二等產"
    "或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾"
    "口認條平系氣題活更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直資命山金指許統區保"
    "至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊該交"
    "規取拉格望覺術領共確傳師觀清今切院讓識候帶導爭運差評質退貨顏漂亮喜歡服快慢流客包裝收買賣推薦價宜滿味酒店"
    "房環境款換壞錯單送謝檔案設定輸入選項無效版本限錯誤，。！？、：；「」（）《》—…　"
)
_KOREAN = (
    "이다는의에가을고를은하로한지도기서사나어자스리인아시라들있그대정수해일전부장주니으것원상보습게만제여과요세구"
    "비공성오무없안유면와동적중우모조소경관신마선거물품배송좋받았었네문실내년용했던데때생진개방까할름미번호질불칭"
    "찬영화말국결연식감재회럼같못저터너러치단간양위않출당속계트드르크포음학교행업명분점산입매추천빠른늦별더잘최역"
    "겠돼됐왔됩합까함셨려달남발법될료반통후운금길박차토타파민복접종집체카태편표피필현형혼환활황습파옵션값록디렉"
    "터작션메변설출력크행"
)
_JAPANESE = (
    "".join(map(chr, range(0x3041, 0x3094)))
    + "".join(map(chr, range(0x30A1, 0x30F7)))
    + "ー、。「」・！？　（）日本人一大年中会国事自分者行見時出上生前間手入今後気方思作品質良悪"
    "送届商早遅使用高安色箱物新買店的場合何度回開始名無理文字列設定対応不可能表示変更指数値引"
)

FREQUENT = {
    "gb18030": frozenset(_SIMPLIFIED),
    "big5": frozenset(_TRADITIONAL),
    "cp949": frozenset(_KOREAN),
    "cp932": frozenset(_JAPANESE),
    "euc-jp": frozenset(_JAPANESE),
}
"""Characters that make up most of a text, by the encoding in which it would be written."""
