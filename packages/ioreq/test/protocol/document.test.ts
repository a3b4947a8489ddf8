import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { FRAME_TABLE, type FrameRow } from '../../src/host/protocol/index.ts'

const DOCUMENT = new URL('../../PROTOCOL.md', import.meta.url)
const HEADING = '## The frames\n'
const TYPES = { number: 'u64', word: 'u64, 64 bits', text: 'text', bytes: 'bytes' }

/** The tables of the document, made from the frame table. */
function tables(): string {
  const rows = Object.entries(FRAME_TABLE) as readonly (readonly [string, FrameRow])[]
  const section = (title: string, from: FrameRow['from']): string => {
    const frames = rows.filter(([, row]) => row.from === from)
    const one = ([name, { code, meaning, fields }]: readonly [string, FrameRow]): string => {
      const table = fields.map(([field, type, what]) => `| \`${field}\` | ${TYPES[type]} | ${what} |`)
      const head = fields.length === 0 ? ['', 'No fields.'] : ['', '| field | type | |', '|---|---|---|', ...table]
      return [`#### ${code}: \`${name}\``, '', meaning, ...head, ''].join('\n')
    }
    return [`### ${title}`, '', ...frames.map(one)].join('\n')
  }
  return [
    section('From the machine', 'machine'),
    section('From the server', 'server'),
    section('Either way', 'both'),
  ].join('\n')
}

test('the document has the layouts of the frame table', () => {
  const text = readFileSync(DOCUMENT, 'utf8')
  const [before] = text.split(HEADING)
  const made = `${before}${HEADING}\n${tables()}`.trimEnd() + '\n'
  if (process.env['RETRAP_UPDATE'] === '1') writeFileSync(DOCUMENT, made)
  expect(readFileSync(DOCUMENT, 'utf8')).toBe(made)
})

test('each kind has a number of its own', () => {
  const codes = Object.values(FRAME_TABLE).map(({ code }) => code)
  expect(new Set(codes).size).toBe(codes.length)
})
