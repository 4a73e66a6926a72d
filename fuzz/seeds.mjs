// Writes the seeds of a target into its corpus: the lines of seeds/TARGET, in which \n, \0 and other octal numbers are bytes;
// for `records`, the golden bytes of every version of every record, as the value of a row of each table.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2];
const corpus = join(here, 'corpus', target);
mkdirSync(corpus, { recursive: true });

function fromLine(line) {
    const parts = line.split(/(\\[0-7]{1,3}|\\[nr\\])/);
    const bytes = parts.map((part) => {
        if (/^\\[0-7]/.test(part)) return Buffer.from([parseInt(part.slice(1), 8)]);
        return Buffer.from({ '\\n': '\n', '\\r': '\r', '\\\\': '\\' }[part] ?? part);
    });
    return Buffer.concat(bytes);
}

function records() {
    const tests = readFileSync(join(here, '../src/store/record/tests.rs'), 'utf8');
    const golden = [...tests.matchAll(/"((?:[0-9a-f]{2}){2,})"/g)].map((match) => Buffer.from(match[1], 'hex'));
    const tables = readFileSync(join(here, '../src/store/schema.rs'), 'utf8').match(/^ {4}\w+ = "\w+": /gm).length;
    const keyLength = 16;
    const key = Buffer.alloc(keyLength, 1);
    return golden.flatMap((value) =>
        Array.from({ length: tables }, (_, table) => Buffer.concat([Buffer.from([table, keyLength]), key, value])),
    );
}

const seeds =
    target === 'records'
        ? records()
        : readFileSync(join(here, 'seeds', target), 'utf8').split('\n').filter(Boolean).map(fromLine);
seeds.forEach((seed, number) => writeFileSync(join(corpus, `seed-${number}`), seed));
console.log(`${target}: ${seeds.length} seeds`);
