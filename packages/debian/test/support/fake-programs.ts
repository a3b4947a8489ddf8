/** Programs of a test's own, which come first on PATH. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, vi } from 'vitest'

/** The folder of the present test. */
export const root = (): string => folder
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retrap-apt-'))
  await mkdir(join(folder, 'bin'))
  vi.stubEnv('PATH', `${join(folder, 'bin')}:${process.env['PATH']}`)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

/** Puts a program of this name there, which notes its arguments in `NAME.calls`. */
export async function fake(name: string, script: string): Promise<void> {
  const file = join(folder, 'bin', name)
  const version = 'case "$*" in *--version*) exit 0;; esac'
  await writeFile(file, `#!/bin/sh\n${version}\nprintf '%s\\n' "$*" >> "$0.calls"\n${script}\n`)
  await chmod(file, 0o755)
}
