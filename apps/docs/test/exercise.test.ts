/** The exercise's kernel and its checks: a planted bug fails one of them, and the mend passes all. */
import { expect, test } from 'vitest'
import { SourceError } from '../.vitepress/theme/exercise/assembly.ts'
import { CHECK_NAMES, runChecks } from '../.vitepress/theme/exercise/checks.ts'
import { assembleKernel } from '../.vitepress/theme/exercise/kernel.ts'
import { read } from './support/programs.ts'

const source = read('.vitepress/theme/exercise/kernel.asm')
/** The host may be busy. */
const LIMIT = { timeout: 120_000 }

test('the kernel as it is loses a life by a long name; mended, it passes', LIMIT, async () => {
  expect((await runChecks(assembleKernel(source).bytes)).map(({ failure }) => failure)).toEqual([
    null,
    null,
    'expected "Hello, Alexandr\\n" after the name Alexandria',
  ])
  const mended = assembleKernel(source.replace('ja read', 'jae read'))
  expect(await runChecks(mended.bytes)).toEqual(CHECK_NAMES.map((name) => ({ name, failure: null })))
})

test.each([
  ['mov eax', 2, 'mov eax: no such form'],
  ['move eax, 1', 2, 'move is no instruction that is known here'],
  ['jmp nowhere', 2, 'there is no label nowhere; write nowhere: where it is to be'],
  ['mov [eax + ebx + ecx], al', 2, 'more than two registers'],
  ['mov al, $', 2, '$ is no operand'],
  ['db x', 2, 'x is no data'],
  ['main: ret', 2, 'main is there already'],
])('%s: the line is named', (line, at, message) => {
  try {
    assembleKernel(`main:\n${line}`)
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError)
    expect([(error as SourceError).line, (error as SourceError).message]).toEqual([
      at,
      expect.stringContaining(message),
    ])
  }
})
