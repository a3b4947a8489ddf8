import { TEST_JIT } from '@retrap/tooling/jit'
import { createPc, type StartBoardServer } from '../../src/index.ts'

/** What a guest has come to. */
export interface Outcome {
  readonly reason: string
  readonly text: string
  readonly instructions: number
  /** How often a vCPU has come back to wait for a device. */
  readonly blocked: number
}

/** Runs a machine to its end. @param devicePlacement - where its devices are */
export async function outcomeOf(kernel: Uint8Array, devicePlacement: StartBoardServer): Promise<Outcome> {
  const sizes = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20 }
  const pc = await createPc({ jit: TEST_JIT, ...sizes, kernel, clock: 'deterministic', devicePlacement })
  let text = ''
  pc.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  const { reason } = await pc.run({ timeoutMs: 100_000 })
  const { instructions, exits } = pc.statistics()
  pc.close()
  return { reason, text, instructions, blocked: exits['blocked'] ?? 0 }
}
