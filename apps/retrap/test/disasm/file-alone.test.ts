import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { elfFile } from '../support/executables.ts'
import { runRetrap } from '../support/processes.ts'

const folder = temporaryFolder('file-alone')

const FUNCTION = 0x12

describe('a file without options, which needs no parser, is listed as with the default of an option', () => {
  const elf = join(folder, 'elf')
  writeFileSync(elf, elfFile(64, [0x50, 0xc3], [{ name: 'main', value: 0x401000, size: 2, info: FUNCTION }]))
  const plain = join(folder, 'plain')
  writeFileSync(plain, Uint8Array.of(0x90, 0x0f, 0x05, 0xc3, 0x0f))
  const truncated = join(folder, 'truncated')
  writeFileSync(truncated, elfFile(64, [0xc3], []).subarray(0, 40))
  test.each([
    ['an ELF file', elf, 0],
    ['plain code', plain, 0],
    ['a damaged file', truncated, 74],
    ['no file', join(folder, 'missing'), 74],
    ['a folder', folder, 74],
  ])('%s', async (_, file, code) => {
    const [alone, parsed] = await Promise.all([
      runRetrap(['disasm', file], { deadlineMs: 100_000 }),
      runRetrap(['disasm', '--syntax', 'intel', file], { deadlineMs: 100_000 }),
    ])
    expect(alone.code).toBe(code)
    expect(alone).toEqual(parsed)
  })

  test('the standard input', async () => {
    const { code, stdout } = await runRetrap(['disasm', '-'], { input: 'PX', deadlineMs: 100_000 })
    expect(code).toBe(0)
    expect(stdout).toMatch(/0000 +50 +push\s+rax\n0001 +58 +pop\s+rax\n/)
  })

  test('two files are a mistake', async () => {
    const { code, stderr } = await runRetrap(['disasm', plain, elf], { deadlineMs: 100_000 })
    expect(code).toBe(2)
    expect(stderr).toMatch(/^retrap: too many arguments/)
  })
})
