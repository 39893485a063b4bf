CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO "alembic_version" VALUES('0004');

CREATE TABLE allowances (
	name VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, 
	used BIGINT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_allowances PRIMARY KEY (name, holder)
);

CREATE TABLE events (
	id VARCHAR NOT NULL, 
	call_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	calls BIGINT NOT NULL, 
	inputs BIGINT NOT NULL, 
	tokens BIGINT NOT NULL, 
	pixels BIGINT NOT NULL, 
	more_units TEXT, 
	price_version INTEGER, 
	amount BIGINT NOT NULL, 
	currency VARCHAR NOT NULL, 
	customer VARCHAR, 
	key_id VARCHAR, 
	project VARCHAR NOT NULL, 
	endpoint VARCHAR NOT NULL, 
	model_version VARCHAR, 
	data_version VARCHAR, 
	writer VARCHAR NOT NULL, 
	cost BIGINT NOT NULL, 
	engine_us BIGINT NOT NULL, 
	outcome VARCHAR NOT NULL, 
	created DATETIME NOT NULL, tokens_out BIGINT DEFAULT '0' NOT NULL, audio_ms BIGINT DEFAULT '0' NOT NULL, link BIGINT, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT uq_events_call_id_seq UNIQUE (call_id, seq)
);

CREATE TABLE feedback (
	id VARCHAR NOT NULL, 
	prediction_id VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	project VARCHAR NOT NULL, 
	label TEXT NOT NULL, 
	source VARCHAR NOT NULL, 
	customer VARCHAR, 
	created DATETIME NOT NULL, 
	used_in VARCHAR, key_id VARCHAR, asked VARCHAR, 
	CONSTRAINT pk_feedback PRIMARY KEY (id)
);

CREATE TABLE holds (
	call_id VARCHAR NOT NULL, 
	customer VARCHAR, 
	key_id VARCHAR, 
	amount BIGINT NOT NULL, 
	currency VARCHAR NOT NULL, 
	writer VARCHAR NOT NULL, 
	created DATETIME NOT NULL, 
	expires DATETIME NOT NULL, 
	CONSTRAINT pk_holds PRIMARY KEY (call_id)
);

CREATE TABLE idempotency (
	customer VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	call_id VARCHAR NOT NULL, 
	body BLOB NOT NULL, 
	created DATETIME NOT NULL, 
	expires DATETIME NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (customer, "key")
);

CREATE TABLE invoices (
	number VARCHAR NOT NULL, 
	customer VARCHAR NOT NULL, 
	month VARCHAR NOT NULL, 
	currency VARCHAR NOT NULL, 
	total BIGINT NOT NULL, 
	document TEXT NOT NULL, 
	digest VARCHAR NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_invoices PRIMARY KEY (number), 
	CONSTRAINT uq_invoices_customer_month_currency UNIQUE (customer, month, currency)
);

CREATE TABLE links (
	writer VARCHAR NOT NULL, 
	day VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	previous VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	events INTEGER NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_links PRIMARY KEY (writer, day, number)
);

CREATE TABLE prediction_blobs (
	hash VARCHAR NOT NULL, 
	prediction_id VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	CONSTRAINT pk_prediction_blobs PRIMARY KEY (hash, prediction_id, "index")
);

CREATE TABLE predictions (
	prediction_id VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	input TEXT, 
	input_hash VARCHAR, 
	output TEXT NOT NULL, 
	label TEXT, 
	score FLOAT, 
	margin FLOAT, 
	model_version VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	customer VARCHAR, 
	key_id VARCHAR, 
	created DATETIME NOT NULL, 
	expires DATETIME, 
	stored BOOLEAN NOT NULL, 
	purged BOOLEAN NOT NULL, 
	CONSTRAINT pk_predictions PRIMARY KEY (prediction_id, "index")
);

CREATE TABLE reasons (
	call_id VARCHAR NOT NULL, 
	customer VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_reasons PRIMARY KEY (call_id)
);

CREATE TABLE remarks (
	id VARCHAR NOT NULL, 
	prediction_id VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	project VARCHAR NOT NULL, 
	reason VARCHAR, 
	note TEXT NOT NULL, 
	source VARCHAR NOT NULL, 
	customer VARCHAR, 
	key_id VARCHAR, 
	asked VARCHAR, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_remarks PRIMARY KEY (id)
);

CREATE TABLE roots (
	day VARCHAR NOT NULL, 
	root VARCHAR NOT NULL, 
	chains TEXT NOT NULL, 
	events BIGINT NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_roots PRIMARY KEY (day)
);

CREATE TABLE totals (
	day VARCHAR NOT NULL, 
	writer VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	customer VARCHAR NOT NULL, 
	key_id VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	endpoint VARCHAR NOT NULL, 
	model_version VARCHAR NOT NULL, 
	data_version VARCHAR NOT NULL, 
	price_version INTEGER NOT NULL, 
	currency VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	events BIGINT NOT NULL, 
	calls BIGINT NOT NULL, 
	inputs BIGINT NOT NULL, 
	tokens BIGINT NOT NULL, 
	pixels BIGINT NOT NULL, 
	tokens_out BIGINT NOT NULL, 
	audio_ms BIGINT NOT NULL, 
	amount BIGINT NOT NULL, 
	cost BIGINT NOT NULL, 
	engine_us BIGINT NOT NULL, 
	more_units TEXT, 
	CONSTRAINT pk_totals PRIMARY KEY (day, writer, kind, customer, key_id, project, endpoint, model_version, data_version, price_version, currency, outcome)
);

CREATE TABLE volumes (
	customer VARCHAR NOT NULL, 
	month VARCHAR NOT NULL, 
	line VARCHAR NOT NULL, 
	units BIGINT NOT NULL, 
	CONSTRAINT pk_volumes PRIMARY KEY (customer, month, line)
);

CREATE INDEX ix_events_created ON events (created);

CREATE INDEX ix_events_customer_events_created ON events (customer, created);

CREATE INDEX ix_predictions_expires ON predictions (expires);

CREATE INDEX ix_predictions_project_predictions_created ON predictions (project, created);

CREATE INDEX ix_prediction_blobs_prediction_id_prediction_blobs_index ON prediction_blobs (prediction_id, "index");

CREATE INDEX ix_feedback_project ON feedback (project);

CREATE INDEX ix_feedback_prediction_id_feedback_index ON feedback (prediction_id, "index");

CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE INDEX ix_totals_customer_totals_day ON totals (customer, day);

CREATE INDEX ix_idempotency_expires ON idempotency (expires);

CREATE INDEX ix_holds_expires ON holds (expires);

CREATE INDEX ix_reasons_customer_reasons_created ON reasons (customer, created);

CREATE TRIGGER links_no_update BEFORE UPDATE ON links BEGIN SELECT RAISE(ABORT, 'links is append-only'); END;

CREATE TRIGGER links_no_delete BEFORE DELETE ON links BEGIN SELECT RAISE(ABORT, 'links is append-only'); END;

CREATE TRIGGER roots_no_update BEFORE UPDATE ON roots BEGIN SELECT RAISE(ABORT, 'roots is append-only'); END;

CREATE TRIGGER roots_no_delete BEFORE DELETE ON roots BEGIN SELECT RAISE(ABORT, 'roots is append-only'); END;

CREATE TRIGGER invoices_no_update BEFORE UPDATE ON invoices BEGIN SELECT RAISE(ABORT, 'invoices is append-only'); END;

CREATE TRIGGER invoices_no_delete BEFORE DELETE ON invoices BEGIN SELECT RAISE(ABORT, 'invoices is append-only'); END;

CREATE TRIGGER reasons_no_update BEFORE UPDATE ON reasons BEGIN SELECT RAISE(ABORT, 'reasons is append-only'); END;

CREATE TRIGGER reasons_no_delete BEFORE DELETE ON reasons BEGIN SELECT RAISE(ABORT, 'reasons is append-only'); END;

CREATE INDEX ix_remarks_project ON remarks (project);

CREATE INDEX ix_remarks_prediction_id_remarks_index ON remarks (prediction_id, "index");
