import { readFileSync } from 'node:fs'
import type { BlockBackend } from '@retrap/device'
import { debianMembers } from '@retrap/tooling/debian'
import { TEST_JIT } from '@retrap/tooling/jit'
import { al, Assembler, ax, dx, imm16 } from '@retrap/x86-assembler'
import { createPc, type PcOptions } from '../../src/index.ts'

const MIB = 1 << 20
const seabios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])

/** Whether there is SeaBIOS. */
export const HAS_SEABIOS: boolean = seabios !== undefined

/** A stick whose boot sector says `u` and switches the machine off; the host takes its time for each read. */
function stick(delayMs: () => number): BlockBackend {
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  asm.mov(dx, imm16(0x3f8)).mov(al, 'u'.charCodeAt(0)).out(dx, al)
  asm.mov(dx, imm16(0x604)).mov(ax, imm16(0x2000)).out(dx, ax).hlt()
  const bytes = new Uint8Array(MIB)
  bytes.set(asm.assemble().bytes)
  bytes.set([0x55, 0xaa], 510)
  const none = async (): Promise<void> => {}
  return {
    properties: {
      bytes: bytes.length,
      blockBytes: 512,
      physicalBlockBytes: 512,
      maximumBytes: MIB,
      readOnly: false,
      discards: false,
    },
    read: async (offset, into) => {
      await new Promise((resolve) => setTimeout(resolve, delayMs()))
      into.set(bytes.subarray(offset, offset + into.length))
    },
    write: none,
    flush: none,
    discard: none,
    writeZeroes: none,
    onChange: () => () => {},
  }
}

/** Lets SeaBIOS boot a stick. @returns what was said, how it ended, and how many instructions it took */
export async function bootStick(
  delayMs: () => number,
  options: Partial<PcOptions>,
): Promise<{ readonly printed: string; readonly reason: string; readonly instructions: number }> {
  const pc = await createPc({
    memoryBytes: 16 * MIB,
    codeCacheBytes: 4 * MIB,
    jit: TEST_JIT,
    firmware: new Uint8Array(readFileSync(`${seabios?.[0] ?? ''}/usr/share/seabios/bios-256k.bin`)),
    drives: [{ medium: stick(delayMs), interface: 'usb' }],
    usb: { devices: [{ kind: 'keyboard' }] },
    ...options,
  })
  let printed = ''
  pc.serial.onTransmit((bytes) => (printed += String.fromCharCode(...bytes)))
  const { reason } = await pc.run({ timeoutMs: 300_000 })
  return { printed, reason, instructions: pc.statistics().instructions }
}
