import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'

/** One instruction with the state before it; see host.c for who uses what. */
export const CASE_BYTES = 768
export const CASE_FXSAVE = 0
export const CASE_GPR = 512
export const CASE_FLAGS = 640
export const CASE_CODE = 656
export const CASE_SIGNAL = 680
export const CASE_MEMORY = 704
export const CASE_MEMORY_BYTES = 64

// Fields of an FXSAVE image (SDM vol. 1, "FXSAVE and FXRSTOR Instructions").
export const FX_FCW = 0
export const FX_FSW = 2
export const FX_FTW = 4
export const FX_MXCSR = 24
export const FX_ST = 32
export const FX_XMM = 160

/** The processor that the tests run on, or undefined where it is not an x86-64 with gcc. */
export interface HostProcessor {
  /** Executes each case; returns them as they are afterwards. */
  run(cases: Uint8Array): Uint8Array
  close(): void
}

export function openHost(): HostProcessor | undefined {
  if (process.arch !== 'x64' || process.platform !== 'linux' || !hasProgram('gcc')) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'retrap-simd-'))
  const program = join(folder, 'host')
  execFileSync('gcc', ['-O1', '-o', program, join(import.meta.dirname, 'host.c')])
  return {
    run: (cases) => {
      const { status, stdout } = spawnSync(program, { input: cases, maxBuffer: 1 << 28 })
      if (status !== 0 || stdout.length !== cases.length)
        throw new Error(`host processor: status ${status}, ${stdout.length} bytes`)
      return stdout
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
