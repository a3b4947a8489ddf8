/** Runs Arm instructions under qemu-user, by the harnesses in `native`. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasProgram } from './skip.ts'

const folder = fileURLToPath(new URL('../native/', import.meta.url))
const FLAGS = ['-O1', '-nostdlib', '-static', '-ffreestanding', '-fno-builtin', '-fno-stack-protector']
const LINK = ['-Wl,-z,noexecstack', '-Wl,--no-warn-rwx-segments', '-Wl,--build-id=none']

/** A machine that the harness runs on. */
export interface NativeMachine {
  readonly compiler: string
  readonly flags: readonly string[]
  readonly assembly: string
  readonly emulator: string
  /** Bytes of the registers: see `struct state` of harness.c. */
  readonly stateBytes: number
}

export const AARCH64: NativeMachine = {
  compiler: 'aarch64-linux-gnu-gcc',
  flags: [],
  assembly: 'harness-aarch64.s',
  emulator: 'qemu-aarch64',
  stateBytes: 33 * 8 + 512 + 32,
}

export const ARM: NativeMachine = {
  compiler: 'arm-linux-gnueabihf-gcc',
  flags: ['-marm', '-march=armv8-a', '-mfpu=crypto-neon-fp-armv8'],
  assembly: 'harness-arm.s',
  emulator: 'qemu-arm',
  stateBytes: 64 + 256 + 8,
}

/** Bytes of memory around a page boundary that a case sends and gets back. */
export const WINDOW = 1024

/** Bit of the harness's count of words. */
const CATCHES_FAULTS = 0x8000_0000

/** Whether the compiler and the emulator are installed. */
export const hasMachine = ({ compiler, emulator }: NativeMachine): boolean =>
  hasProgram(compiler) && hasProgram(emulator)

/** One case: its instructions, equal in number to all cases', registers and memory. */
export interface NativeCase {
  readonly thumb: boolean
  readonly code: readonly number[]
  readonly state: Uint8Array
  readonly window: Uint8Array
}

/**
 * Runs cases one after another.
 *
 * @param catchesFaults - for A64: a case ends at a fault, and its state holds the fault's address. Default false
 * @returns registers and memory of each afterwards
 * @throws Error if the program ends by a signal, naming the case
 */
export function runNative(
  machine: NativeMachine,
  cases: readonly NativeCase[],
  catchesFaults = false,
): { state: Buffer; window: Buffer }[] {
  const size = machine.stateBytes + WINDOW
  const words = cases[0]?.code.length ?? 0
  const codes = 8 + cases.length * 4 * (words + 1)
  const input = Buffer.alloc(codes + cases.length * size)
  input.writeUInt32LE(cases.length, 0)
  input.writeUInt32LE(words + (catchesFaults ? CATCHES_FAULTS : 0), 4)
  cases.forEach((each, index) => {
    const code = [...each.code, each.thumb ? 0x20 : 0]
    code.forEach((word, i) => input.writeUInt32LE(word >>> 0, 8 + 4 * (index * (words + 1) + i)))
    const at = codes + index * size
    input.set(each.state, at)
    input.set(each.window, at + machine.stateBytes)
  })
  const { stdout, status, signal } = spawnSync(machine.emulator, ['-cpu', 'max', harnessOf(machine)], {
    input,
    maxBuffer: 1 << 30,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  if (status !== 0 || stdout.length !== cases.length * size) {
    throw new Error(`${machine.emulator} ended with ${status ?? signal} at case ${Math.floor(stdout.length / size)}`)
  }
  return cases.map((_, index) => {
    const at = index * size
    return {
      state: stdout.subarray(at, at + machine.stateBytes),
      window: stdout.subarray(at + machine.stateBytes, at + machine.stateBytes + WINDOW),
    }
  })
}

const harnesses = new Map<NativeMachine, string>()

/** Builds a machine's harness, once per process. @returns its path */
function harnessOf(machine: NativeMachine): string {
  const built = harnesses.get(machine)
  if (built !== undefined) return built
  const temporary = mkdtempSync(join(tmpdir(), 'retrap-arm-'))
  process.once('exit', () => rmSync(temporary, { recursive: true }))
  const program = join(temporary, 'harness')
  const sources = [join(folder, 'harness.c'), join(folder, machine.assembly)]
  execFileSync(machine.compiler, [...FLAGS, ...machine.flags, ...LINK, '-o', program, ...sources])
  harnesses.set(machine, program)
  return program
}
