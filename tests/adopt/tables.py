"""The original product's tables as docs/facts/easycars.md has them, and something of everything that was in them."""

from __future__ import annotations

from typing import Any

import psycopg

from jobsync.easycars.credentials import Cipher

KEY = bytes(range(32))  # tests/conftest.py, TEST_KEY
SECRETS = ("client-of-{}", "client-secret-of-{}", "EC00000{}", "account-secret-of-{}")

TABLES = """
CREATE TABLE dealership (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    address text,
    phone varchar(20),
    email varchar(255),
    theme_color varchar(20),
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE dealership_easycars_credentials (
    id serial PRIMARY KEY,
    dealership_id integer NOT NULL UNIQUE REFERENCES dealership ON DELETE CASCADE,
    client_id_encrypted text NOT NULL,
    client_secret_encrypted text NOT NULL,
    account_number_encrypted text NOT NULL,
    account_secret_encrypted text NOT NULL,
    encryption_iv text NOT NULL,
    environment varchar(20) NOT NULL CHECK (environment IN ('Test', 'Production')),
    is_active boolean NOT NULL DEFAULT true,
    yard_code varchar(50),
    last_synced_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE vehicle (
    id serial PRIMARY KEY,
    dealership_id integer NOT NULL REFERENCES dealership ON DELETE CASCADE,
    make varchar(100) NOT NULL,
    model varchar(100) NOT NULL,
    year integer NOT NULL,
    price numeric(10, 2) NOT NULL,
    mileage integer NOT NULL,
    condition varchar(10) NOT NULL CHECK (condition IN ('new', 'used')),
    status varchar(10) NOT NULL CHECK (status IN ('draft', 'active', 'pending', 'sold')),
    title varchar(255) NOT NULL,
    description text,
    images jsonb NOT NULL DEFAULT '[]',
    easycars_stock_number varchar(100),
    easycars_yard_code varchar(50),
    easycars_vin varchar(17),
    easycars_raw_data jsonb,
    data_source varchar(20) NOT NULL DEFAULT 'Manual' CHECK (data_source IN ('Manual', 'EasyCars', 'Import')),
    last_synced_from_easycars timestamptz,
    exterior_color varchar(50),
    interior_color varchar(50),
    body varchar(50),
    fuel_type varchar(50),
    gear_type varchar(50),
    engine_capacity varchar(50),
    door_count integer,
    features jsonb,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE easycar_stock_data (
    id serial PRIMARY KEY,
    vehicle_id integer NOT NULL UNIQUE REFERENCES vehicle ON DELETE CASCADE,
    stock_item_json jsonb,
    synced_at timestamptz,
    api_version varchar(20) DEFAULT '1.0',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE easycar_sync_logs (
    id serial PRIMARY KEY,
    dealership_id integer NOT NULL REFERENCES dealership ON DELETE CASCADE,
    synced_at timestamptz,
    status varchar(20),
    items_processed integer,
    items_succeeded integer,
    items_failed integer,
    error_messages jsonb DEFAULT '[]',
    duration_ms bigint,
    api_version varchar(20),
    sync_type varchar(50));
CREATE TABLE dealership_settings (
    id serial PRIMARY KEY,
    dealership_id integer UNIQUE REFERENCES dealership,
    easycar_auto_sync_enabled boolean NOT NULL DEFAULT true);
CREATE TABLE system_settings (key varchar(100) PRIMARY KEY, value text, description text);
"""
# The names that its papers have.
PLURAL = {
    "dealership": "dealerships",
    "vehicle": "vehicles",
    "dealership_easycars_credentials": "easycar_credentials",
}

ROWS = """
INSERT INTO system_settings VALUES ('easycar_sync_enabled', 'true', ''), ('easycar_sync_cron', '30 3 * * *', ''),
    ('easycar_sync_concurrency', '4', ''), ('easycar_image_sync_enabled', 'true', '');
INSERT INTO dealership (id, name, address, email) VALUES
    (3, 'Old Yard', '1 Main St', 'old@yard.example'), (8, 'New Yard', NULL, NULL);
SELECT setval('dealership_id_seq', 8);
INSERT INTO dealership_settings (dealership_id, easycar_auto_sync_enabled) VALUES (3, true), (8, false);
INSERT INTO vehicle (id, dealership_id, make, model, year, price, mileage, condition, status, title, description,
                     images, easycars_stock_number, easycars_vin, data_source, features) VALUES
    (10, 3, 'Toyota', 'Corolla', 2019, 20000, 1000, 'used', 'active', '2019 Toyota Corolla', 'Fine',
     '["https://images.example/1.jpg", "https://images.example/2.jpg"]', 'A10', '6T1BF3FK00X000010', 'EasyCars',
     '["ABS", "Airbags"]'),
    (11, 3, 'Mazda', '3', 2020, 0, 0, 'new', 'pending', '2020 Mazda 3', 'No description available', '[]', 'A11', '',
     'EasyCars', NULL),
    (12, 3, 'Holden', 'Ute', 1999, 5000.50, 250000, 'used', 'draft', '1999 Holden Ute', NULL, '[]', NULL, NULL,
     'Manual', NULL),
    (13, 3, 'Ford', 'Falcon', 2010, 9000, 9, 'used', 'sold', '2010 Ford Falcon', 'Sold here', '[]', 'A13', NULL,
     'EasyCars', NULL),
    (14, 3, 'Ford', 'Ka', 2011, 3000, 9, 'used', 'draft', '2011 Ford Ka', 'Kept off', '[]', 'A14', NULL, 'EasyCars',
     NULL),
    (40, 8, 'Kia', 'Rio', 2015, 8000, 7, 'used', 'active', '2015 Kia Rio', 'Small', '[]', 'A10', NULL, 'EasyCars',
     NULL);
SELECT setval('vehicle_id_seq', 40);
INSERT INTO easycar_stock_data (vehicle_id, stock_item_json, synced_at) VALUES
    (10, '{"StockNumber": "A10", "Make": "Toyota", "Unheard": [1.50]}', '2026-01-02T02:00Z');
UPDATE vehicle SET easycars_raw_data = '{"StockNumber": "A11"}', last_synced_from_easycars = '2026-01-02T02:00Z'
    WHERE id IN (10, 11);
INSERT INTO easycar_sync_logs (dealership_id, synced_at, status, items_processed, items_succeeded, items_failed,
                               error_messages, duration_ms, api_version, sync_type) VALUES
    (3, '2026-01-01T02:00Z', 'Failed', 0, 0, 0, '["no answer"]', 30000, '1.0', NULL),
    (3, '2026-01-02T02:00Z', 'Success', 4, 4, 0, '[]', 1234, '1.0', NULL),
    (3, '2026-01-02T03:00Z', 'Success', 2, 2, 0, '[]', 1234, '1.0', 'Lead');
"""


def make(url: str, *, schema: str = "public", plural: bool = False, fill: bool = True, key: bytes = KEY) -> None:
    """Make the original's tables in a schema, with or without rows; the credentials are encrypted with `key`."""
    with psycopg.connect(url) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
        connection.execute(f'SET search_path TO "{schema}"'.encode())
        connection.execute(TABLES.encode())
        if fill:
            connection.execute(ROWS.encode())
            for dealership in (3, 8):
                add_credentials(connection, dealership, key=key)
        for singular, name in PLURAL.items() if plural else ():
            connection.execute(f"ALTER TABLE {singular} RENAME TO {name}".encode())


def add_credentials(connection: psycopg.Connection[Any], dealership: int, *, key: bytes = KEY) -> None:
    """Store credentials as the original did: four ciphertexts, and the nonce of one of them again."""
    texts = [Cipher(key).encrypt(text.format(dealership)) for text in SECRETS]
    connection.execute(
        "INSERT INTO dealership_easycars_credentials (dealership_id, client_id_encrypted, client_secret_encrypted,"
        " account_number_encrypted, account_secret_encrypted, encryption_iv, environment)"
        " VALUES (%s, %s, %s, %s, %s, 'aXY=', 'Test')",
        [dealership, *texts],
    )
