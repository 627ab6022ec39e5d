// SPDX-License-Identifier: Apache-2.0
// The web half of the pets example: / says hello, /pet shows a picture link out of PostgreSQL and which container answered.
// The database may start after this process or restart under it: a query is tried again until it works or the patience ends.
'use strict';
const os = require('os');
const express = require('express');
const { Pool } = require('pg');

const PATIENCE_MS = 20000, PAUSE_MS = 100;
const pool = new Pool({ max: 4, connectionTimeoutMillis: 2000 });
pool.on('error', (e) => console.error('database connection lost: %s', e.message));

async function query(text) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await pool.query(text);
    } catch (e) {
      if (Date.now() > deadline)
        throw e;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

const escape = (s) => String(s).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (body) => `<!doctype html>\n<title>Pets Demo Application</title>\n${body}\n`;
const app = express();

app.get('/', (req, res) => {
  res.send(page('<h1>Pets Demo Application</h1>\n<p><a href="/pet">Show me a pet</a></p>'));
});

app.get('/pet', async (req, res) => {
  try {
    const { name, url } = (await query('SELECT name, url FROM pets ORDER BY random() LIMIT 1')).rows[0];
    res.send(page(`<h1>${escape(name)}</h1>\n<p><img alt="${escape(name)}" src="${escape(url)}"></p>\n` +
      `<p>Delivered to you by container ${escape(os.hostname())}</p>`));
  } catch (e) {
    console.error('query: %s', e.message);
    res.status(503).send(page('<p>The database does not answer.</p>'));
  }
});

const server = app.listen(3000, () => console.log('listening on port 3000'));
for (const signal of ['SIGTERM', 'SIGINT'])
  process.on(signal, () => {
    console.log('%s: closing', signal);
    server.close(() => process.exit(0));
    server.closeIdleConnections?.();
    setTimeout(() => process.exit(0), 1000).unref();
  });
