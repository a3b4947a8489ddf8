import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { buildForHost, hostCpu } from '@retrap/tooling/host-cpu'

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

/** The processor that the tests run on. */
export interface HostProcessor {
  /** Whether it has the features of `CodeInfo.feature`. */
  has(feature: string): boolean
  /** Executes each case; returns them as they are afterwards. */
  run(cases: Uint8Array): Uint8Array
}

/** Returns the host's processor, or says why there is none to ask. */
export function openHost(): HostProcessor | string {
  const cpu = hostCpu()
  if (typeof cpu === 'string') return cpu
  const program = buildForHost(join(import.meta.dirname, 'host.c'), ['-O1'])
  if (typeof program === 'string') return program
  return {
    has: (feature) => cpu.has(feature),
    run: (cases) => {
      const { status, stdout } = spawnSync(program.path, { input: cases, maxBuffer: 1 << 28 })
      if (status !== 0 || stdout.length !== cases.length)
        throw new Error(`host processor: status ${status}, ${stdout.length} bytes`)
      return stdout
    },
  }
}
