-- SPDX-License-Identifier: Apache-2.0
-- The pets and the role that reads them; run once by the entrypoint.
CREATE ROLE pets LOGIN PASSWORD :'password';
CREATE DATABASE pets OWNER pets;
\connect pets
SET ROLE pets;
CREATE TABLE pets (id serial PRIMARY KEY, name text NOT NULL, url text NOT NULL);
INSERT INTO pets (name, url) VALUES
  ('Tabby', 'https://upload.wikimedia.org/wikipedia/commons/3/3a/Cat03.jpg'),
  ('Felix', 'https://upload.wikimedia.org/wikipedia/commons/4/4d/Cat_November_2010-1a.jpg'),
  ('Amber', 'https://upload.wikimedia.org/wikipedia/commons/2/26/YellowLabradorLooking_new.jpg');
