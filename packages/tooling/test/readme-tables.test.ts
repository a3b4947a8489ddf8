/** What the gate holds READMEs to: names, options and exits of the API report; one way to install. */
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'

interface Member {
  readonly folder: string
  readonly path: string
  readonly manifest: { readonly name: string; readonly version: string }
}

/** Root scripts are no package: a test loads them by their address. */
const SCRIPT = new URL('../../../.scripts/release/readme-tables.ts', import.meta.url).href
const { checkReadmeTables } = (await import(SCRIPT)) as {
  readonly checkReadmeTables: (all: readonly Member[]) => string[]
}

const made: string[] = []

afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true })
})

const REPORT = `
export class Uart {}

// @public
export interface UartOptions extends LineOptions {
    readonly irq?: number;
    onByte?(byte: number): void;
}

// @public
export interface LineOptions {
    readonly port: number;
}

// @public
export type Exit =
  | { reason: 'halt' }
  | { reason: 'io-wait' }

// @public
export const last: number
`

/** The problems of a package's README, given its API report. */
function problemsOf(readme: string, report: string = REPORT): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-readme-'))
  made.push(folder)
  mkdirSync(join(folder, 'etc'))
  writeFileSync(join(folder, 'etc/x.api.md'), report)
  writeFileSync(join(folder, 'README.md'), readme)
  const manifest = { name: '@retrap/x', version: '0.0.0' }
  return checkReadmeTables([{ folder, path: 'packages/x', manifest }])
}

test('a name that no API report has is found, and its member', () => {
  expect(problemsOf('`Uart` and `onByte` are there, `UartX` is not.')).toEqual([
    'packages/x/README.md: `UartX`: no package has this name',
  ])
  expect(problemsOf('`Uart.onFrame(byte)`')).toEqual([
    'packages/x/README.md: `Uart.onFrame(byte)`: no package has this name',
  ])
})

test('words, commands, code blocks and names of the language are no names of ours', () => {
  expect(problemsOf('`halt`, `npm install`, `Map`, `qXfer`\n\n```ts\nnew UartX()\n```\n')).toEqual([])
})

test('a table of options needs all of them, those of a parent too, or a word on them before', () => {
  const table = (options: string): string => `## Uart\n\n| class | options |\n|---|---|\n| \`Uart\` | ${options} |\n`
  expect(problemsOf(table('`irq`, `port`, `onByte`'))).toEqual([])
  expect(problemsOf(table('`irq`'))).toEqual([
    'packages/x/README.md: the table of options says nothing of `onByte` of `Uart`',
    'packages/x/README.md: the table of options says nothing of `port` of `Uart`',
  ])
  expect(problemsOf(table('`irq`, `onByte`').replace('## Uart', '## Uart\n\nAll have a `port`.'))).toEqual([])
})

test('a README that says what is returned names each reason', () => {
  expect(problemsOf('`run` returns an `Exit`: `halt` or `io-wait`.')).toEqual([])
  expect(problemsOf('`run` returns an `Exit`: `halt`.')).toEqual([
    'packages/x/README.md: says nothing of the exit `io-wait`',
  ])
  expect(problemsOf('`run` says why: `halt`.')).toEqual([])
})

const INSTALL = new URL('../../../.scripts/release/readme.ts', import.meta.url)
const { checkOneWay, onRegistry } = (await import(INSTALL.href)) as {
  readonly checkOneWay: (texts: ReadonlyMap<string, string>) => string[]
  readonly onRegistry: (text: string) => string
}

test('a release switches every text from the clone to the registry, and none mixes them before', () => {
  const pack = '# a\nnpm --prefix ../retrap run -s release -- pack vendor @retrap/x y\n'
  const clone = `${pack}npm install --save-dev ./vendor/*.tgz z\n<!-- checkout -->now<!-- registry: later -->`
  const later = 'npm install --save-dev @retrap/x y z'
  expect(onRegistry(clone)).toBe(`${later}\nlater`)
  const told = (...texts: string[]) => checkOneWay(new Map(texts.map((text, i) => [`${i}`, text])))
  expect([told(later), told(clone)]).toEqual([[], []])
  expect(told(clone, later)).toEqual([`1: npm's registry does not have it yet: ${later}`])
  const cwd = new URL('../../', INSTALL)
  const files = globSync(['*.md', '*/*/README.md', 'apps/docs/pages/**/*.md'], { cwd, exclude: ['**/checkout.md'] })
  for (const file of files)
    expect(onRegistry(readFileSync(new URL(file, cwd), 'utf8')), file).not.toMatch(/registry yet|pack vendor|<!-- chec/)
})
