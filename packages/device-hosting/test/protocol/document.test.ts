import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { FRAME_TABLE, type FrameRow } from '../../src/protocol/index.ts'

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

/** Frames that servers in other languages know: the further ones are between retrap's own ends. */
const rows = (Object.entries(FRAME_TABLE) as readonly (readonly [string, FrameRow])[]).filter(
  ([, { code }]) => code < 64,
)

const python = rows.map(([kind, { code, fields }]) => {
  const signs = { number: '', word: '*', text: '$', bytes: '#' }
  return `    '${kind}': (${code}, '${fields.map(([name, type]) => name + signs[type]).join(' ')}'),\n`
})

const cName = (kind: string): string => `RETRAP__${kind.replace(/[A-Z]/g, '_$&').toUpperCase()}`
const cNumbers = rows.reduce((text, [kind, { code }]) => {
  const one = `${cName(kind)} = ${code},`
  const isFull = text.length - text.lastIndexOf('\n') + one.length > 125
  return `${text}${isFull ? '\n    ' : ' '}${one}`
}, '   ')
const cKinds = rows.map(([kind, { fields }]) => {
  const layout = fields.map(([, type]) => type[0]).join('')
  return `    {"${kind}", "${layout}", "${fields.map(([name]) => name).join(' ')}"},\n`
})

/** Files with tables that are made from the frame table: what stands before each, the table, and what stands behind. */
const MADE: readonly (readonly [file: string, before: string, table: string, behind: string])[] = [
  ['PROTOCOL.md', '## The frames\n\n', tables().trimEnd(), '\n'],
  ['sdk/python/retrap_device.py', '_FRAMES: Dict[str, Tuple[int, str]] = {\n', python.join(''), '}\n'],
  ['sdk/c/retrap-device.h', 'b bytes. ---- */\n\nenum {\n', `${cNumbers}\n`, '};\n'],
  ['sdk/c/retrap-device.h', '    {NULL, NULL, NULL},\n', cKinds.join(''), '};\n'],
]

test.each(MADE)('%s has the layouts of the frame table', (file, before, table, behind) => {
  const url = new URL(`../../${file}`, import.meta.url)
  const text = readFileSync(url, 'utf8')
  const from = text.indexOf(before) + before.length
  const to = file.endsWith('.md') ? text.length - behind.length : text.indexOf(behind, from)
  const made = text.slice(0, from) + table + text.slice(to)
  if (process.env['RETRAP_UPDATE'] === '1') writeFileSync(url, made)
  expect(readFileSync(url, 'utf8')).toBe(made)
})

test('each kind has a number of its own', () => {
  const codes = Object.values(FRAME_TABLE).map(({ code }) => code)
  expect(new Set(codes).size).toBe(codes.length)
})
