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
  ...REFUSALS.map(({ verbs, when, plugged, why }) => {
    const named = (some: readonly string[]): string => some.map((trait) => `\`${trait}\``).join(' or ')
    const parts = [...when.map(named), ...(plugged ? [`${named(plugged)} that is plugged in`] : [])]
    return `| ${verbs.join(', ')} | ${parts.join(', and ')} | ${why} |`
  }),
].join('\n')

test('the table of combinations is that of the code; RETRAP_WRITE=1 writes it', () => {
  const text = readFileSync(page, 'utf8')
  const expected = text.replace(MARKED, (_, begin: string, end: string) => `${begin}\n${table}\n\n${end}`)
  if (process.env['RETRAP_WRITE'] === '1') writeFileSync(page, expected)
  expect(text).toBe(expected)
})
