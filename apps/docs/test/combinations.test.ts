/** The page of what is supported has the refusals of the code. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { REFUSALS } from '@retrap/machine'
import { expect, test } from 'vitest'
import { root } from './support/programs.ts'

const page = join(root, 'pages/support.md')
const MARKED = /(<!-- combinations -->\n)[^]*?(<!-- \/combinations -->)/

const table = [
  '| refused | of a machine with | why |',
  '|---|---|---|',
  ...REFUSALS.map(({ verbs, when, why }) => {
    const parts = when.map((some) => some.map((trait) => `\`${trait}\``).join(' or ')).join(', and ')
    return `| ${verbs.join(', ')} | ${parts} | ${why} |`
  }),
].join('\n')

test('the table of combinations is that of the code; RETRAP_WRITE=1 writes it', () => {
  const text = readFileSync(page, 'utf8')
  const expected = text.replace(MARKED, (_, begin: string, end: string) => `${begin}\n${table}\n\n${end}`)
  if (process.env['RETRAP_WRITE'] === '1') writeFileSync(page, expected)
  expect(text).toBe(expected)
})
