import { readFileSync } from 'node:fs'
import { debianMembers } from '@retrap/tooling/debian'
import { TEST_JIT } from '@retrap/tooling/jit'
import { createPc, type PcOptions } from '../../src/index.ts'
import { bootDisk } from './media.ts'

const MIB = 1 << 20
const seabios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])

/** Whether there is SeaBIOS. */
export const HAS_SEABIOS: boolean = seabios !== undefined

/** Lets SeaBIOS boot a stick that says `u`; the host takes its time for each read. @returns what was said, how it ended, and how many instructions it took */
export async function bootStick(
  delayMs: () => number,
  options: Partial<PcOptions>,
): Promise<{ readonly printed: string; readonly reason: string; readonly instructions: number }> {
  const stick = bootDisk('u', () => new Promise((resolve) => setTimeout(resolve, delayMs())))
  const pc = await createPc({
    memoryBytes: 16 * MIB,
    codeCacheBytes: 4 * MIB,
    jit: TEST_JIT,
    firmware: new Uint8Array(readFileSync(`${seabios?.[0] ?? ''}/usr/share/seabios/bios-256k.bin`)),
    drives: [{ medium: stick, interface: 'usb' }],
    usb: { devices: [{ kind: 'keyboard' }] },
    ...options,
  })
  let printed = ''
  pc.serial.onTransmit((bytes) => (printed += String.fromCharCode(...bytes)))
  const { reason } = await pc.run({ timeoutMs: 300_000 })
  return { printed, reason, instructions: pc.statistics().instructions }
}
