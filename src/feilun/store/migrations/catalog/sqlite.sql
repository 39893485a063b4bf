CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO "alembic_version" VALUES('0003');

CREATE TABLE api_keys (
	id VARCHAR NOT NULL, 
	prefix VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	customer VARCHAR NOT NULL, 
	name TEXT NOT NULL, 
	project VARCHAR, 
	store_inputs INTEGER, 
	created DATETIME NOT NULL, 
	expires DATETIME, 
	revoked DATETIME, scopes TEXT DEFAULT '["predict","feedback","usage"]' NOT NULL, limits TEXT DEFAULT '{}' NOT NULL, successor VARCHAR, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id), 
	CONSTRAINT fk_api_keys_customer FOREIGN KEY(customer) REFERENCES customers (id), 
	CONSTRAINT fk_api_keys_project FOREIGN KEY(project) REFERENCES projects (name), 
	CONSTRAINT uq_api_keys_hash UNIQUE (hash)
);

CREATE TABLE artifacts (
	ref VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_artifacts PRIMARY KEY (ref)
);

CREATE TABLE audit (
	number BIGINT NOT NULL, 
	at DATETIME NOT NULL, 
	actor TEXT NOT NULL, 
	action VARCHAR NOT NULL, 
	subject TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	previous VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (number)
);

CREATE TABLE counters (
	name VARCHAR NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
);

INSERT INTO "counters" VALUES('epoch',0);

INSERT INTO "counters" VALUES('audit',0);

CREATE TABLE customers (
	id VARCHAR NOT NULL, 
	name TEXT NOT NULL, 
	created DATETIME NOT NULL, details TEXT DEFAULT '{}' NOT NULL, limits TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_customers PRIMARY KEY (id)
);

CREATE TABLE data_versions (
	id VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	artifact VARCHAR NOT NULL, 
	parent VARCHAR, 
	reason TEXT NOT NULL, 
	counts TEXT NOT NULL, 
	roles TEXT NOT NULL, 
	info TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	"key" VARCHAR, 
	CONSTRAINT pk_data_versions PRIMARY KEY (id), 
	CONSTRAINT fk_data_versions_project FOREIGN KEY(project) REFERENCES projects (name), 
	CONSTRAINT fk_data_versions_parent FOREIGN KEY(parent) REFERENCES data_versions (id), 
	CONSTRAINT uq_data_versions_project_number UNIQUE (project, number), 
	CONSTRAINT uq_data_versions_key UNIQUE ("key")
);

CREATE TABLE deployments (
	id INTEGER NOT NULL, 
	endpoint VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	variant VARCHAR, 
	artifact VARCHAR NOT NULL, 
	weight FLOAT NOT NULL, 
	role VARCHAR NOT NULL, 
	since DATETIME NOT NULL, 
	until DATETIME, 
	actor TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	forced BOOLEAN NOT NULL, 
	CONSTRAINT pk_deployments PRIMARY KEY (id), 
	CONSTRAINT fk_deployments_project FOREIGN KEY(project) REFERENCES projects (name), 
	CONSTRAINT fk_deployments_version FOREIGN KEY(version) REFERENCES model_versions (id)
);

CREATE TABLE model_versions (
	id VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	method VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	data_version VARCHAR, 
	parent VARCHAR, 
	weights VARCHAR, 
	variant VARCHAR, 
	variants TEXT NOT NULL, 
	report VARCHAR, 
	metrics TEXT NOT NULL, 
	config TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	run_id VARCHAR, 
	created DATETIME NOT NULL, 
	pruned DATETIME, 
	"key" VARCHAR, 
	CONSTRAINT pk_model_versions PRIMARY KEY (id), 
	CONSTRAINT fk_model_versions_project FOREIGN KEY(project) REFERENCES projects (name), 
	CONSTRAINT fk_model_versions_data_version FOREIGN KEY(data_version) REFERENCES data_versions (id), 
	CONSTRAINT fk_model_versions_parent FOREIGN KEY(parent) REFERENCES model_versions (id), 
	CONSTRAINT uq_model_versions_project_number UNIQUE (project, number), 
	CONSTRAINT uq_model_versions_key UNIQUE ("key")
);

CREATE TABLE "prices" (
	id INTEGER NOT NULL, 
	project VARCHAR, 
	amount BIGINT, 
	currency VARCHAR NOT NULL, 
	effective DATETIME NOT NULL, 
	created DATETIME NOT NULL, 
	"plan" VARCHAR, 
	document TEXT, 
	CONSTRAINT pk_prices PRIMARY KEY (id), 
	CONSTRAINT fk_prices_project FOREIGN KEY(project) REFERENCES projects (name)
);

CREATE TABLE projects (
	name VARCHAR NOT NULL, 
	task VARCHAR NOT NULL, 
	endpoint VARCHAR NOT NULL, 
	created DATETIME NOT NULL, names TEXT DEFAULT '[]' NOT NULL, deleted DATETIME, 
	CONSTRAINT pk_projects PRIMARY KEY (name)
);

CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	"plan" TEXT NOT NULL, 
	config TEXT NOT NULL, 
	pid INTEGER, 
	created DATETIME NOT NULL, 
	started DATETIME, 
	heartbeat DATETIME, 
	finished DATETIME, 
	result TEXT NOT NULL, 
	error TEXT, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_project FOREIGN KEY(project) REFERENCES projects (name)
);

CREATE TABLE servers (
	id VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	machine VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	port INTEGER NOT NULL, 
	address VARCHAR NOT NULL, 
	started DATETIME NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	CONSTRAINT pk_servers PRIMARY KEY (id)
);

CREATE TABLE settings (
	"key" VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY ("key")
);

CREATE TABLE step_runs (
	run_id VARCHAR NOT NULL, 
	step VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	started DATETIME NOT NULL, 
	finished DATETIME, 
	result TEXT NOT NULL, 
	progress TEXT, 
	CONSTRAINT pk_step_runs PRIMARY KEY (run_id, step, attempt), 
	CONSTRAINT fk_step_runs_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE TABLE subscriptions (
	id INTEGER NOT NULL, 
	customer VARCHAR NOT NULL, 
	"plan" VARCHAR NOT NULL, 
	effective DATETIME NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_subscriptions PRIMARY KEY (id), 
	CONSTRAINT fk_subscriptions_customer FOREIGN KEY(customer) REFERENCES customers (id)
);

CREATE INDEX ix_deployments_endpoint ON deployments (endpoint);

CREATE UNIQUE INDEX ix_one_live_per_endpoint ON deployments (endpoint) WHERE role = 'live' AND until IS NULL;

CREATE INDEX ix_runs_project ON runs (project);

CREATE INDEX ix_prices_project ON prices (project);

CREATE INDEX ix_prices_plan ON prices ("plan");

CREATE INDEX ix_subscriptions_customer ON subscriptions (customer);

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
