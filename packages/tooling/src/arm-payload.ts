/** Runs small programs of a bare Arm machine under qemu-system-aarch64. */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from './skip.ts'

const COMPILER = 'aarch64-linux-gnu-gcc'
const QEMU = 'qemu-system-aarch64'
const DEADLINE_MS = 60_000

/** Where the RAM of QEMU's `virt` board begins. It puts a device tree into the first 2 MiB. */
export const BOARD_RAM = 0x4000_0000
/** Link address of payloads. */
export const PAYLOAD = 0x4020_0000

/** Whether the compiler and QEMU are installed. */
export const hasArmBoard: boolean = hasProgram(COMPILER) && hasProgram(QEMU)

/** The reason why tests that need a cross compiler or QEMU are skipped. */
export const ARM_BOARD_LACKS = 'no cross compiler or no qemu-system-aarch64'

/** Bytes at a physical address. */
export interface Placed {
  readonly address: number
  readonly bytes: Uint8Array
}

function inFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-payload-'))
  try {
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Assembles a payload. @param source - path of its source, which begins with the first instruction */
export function assemblePayload(source: string): Buffer {
  return inFolder((folder) => {
    const program = join(folder, 'payload')
    const link = `-nostdlib -static -Wl,-Ttext=0x${PAYLOAD.toString(16)} -Wl,--build-id=none -Wl,-z,noexecstack`
    execFileSync(COMPILER, [...link.split(' '), '-o', program, source])
    const elf = readFileSync(program)
    const header = Number(elf.readBigUInt64LE(32))
    for (let at = header; at < header + 56 * elf.readUInt16LE(56); at += 56) {
      const [offset = 0, address = 0, bytes = 0] = [8, 16, 32].map((field) => Number(elf.readBigUInt64LE(at + field)))
      // The loaded segment that has the program: the headers may lie before it.
      if (elf.readUInt32LE(at) === 1 && address <= PAYLOAD && address + bytes > PAYLOAD) {
        return elf.subarray(offset + PAYLOAD - address, offset + bytes)
      }
    }
    throw new Error('the payload has no program')
  })
}

/**
 * Runs a payload on QEMU's `virt` board, from {@link PAYLOAD} on, until it turns the machine off.
 *
 * @param machine - properties of the machine beside its memory, as after `-M virt,`
 * @param ramMiB - size of the machine's RAM
 * @param inputs - initial contents of RAM, besides the payload
 * @param result - receives the contents of memory at the end
 * @throws Error if the machine does not end by itself
 */
export function runPayload(machine: string, ramMiB: number, inputs: readonly Placed[], result: Placed): void {
  inFolder((folder) => {
    const ram = join(folder, 'ram')
    const file = openSync(ram, 'w+')
    try {
      ftruncateSync(file, ramMiB << 20)
      for (const { address, bytes } of inputs) writeSync(file, bytes, 0, bytes.length, address - BOARD_RAM)
      const board = `-M virt,memory-backend=m${machine} -cpu max,sve=off,sme=off -m ${ramMiB}M -display none -serial none -monitor none`
      const { status, stderr } = spawnSync(
        QEMU,
        [
          ...board.split(' '),
          '-object',
          `memory-backend-file,id=m,size=${ramMiB}M,share=on,mem-path=${ram}`,
          '-device',
          `loader,addr=${PAYLOAD},cpu-num=0`,
        ],
        { timeout: DEADLINE_MS, encoding: 'utf8', killSignal: 'SIGKILL' },
      )
      if (status !== 0) throw new Error(`${QEMU} did not end (${status}): ${stderr}`)
      readSync(file, result.bytes, 0, result.bytes.length, result.address - BOARD_RAM)
    } finally {
      closeSync(file)
    }
  })
}
