import { expect, test } from 'vitest'
import { runRetrap } from '../support/processes.ts'

test('- for the file is standard input', async () => {
  const options = { input: '\u0050\u0058', deadlineMs: 100_000 }
  const { code, stdout } = await runRetrap(['disasm', '-', '--mode', '32', '--address', '0x7c00'], options)
  expect(code).toBe(0)
  expect(stdout).toMatch(/7c00 +50 +push\s+eax\n7c01 +58 +pop\s+eax\n/)
})
