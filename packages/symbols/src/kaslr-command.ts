import type { LinuxMemory } from './guest-ram.ts'
import { linuxSymbols } from './kallsyms.ts'

/** The first byte of Linux' code has this name: on arm64 the first one that is in its table. */
const FIRST = '_stext'

/**
 * Where the code of x86 kernels is linked to begin: 16 MiB above the start of their part of the address space, which is the
 * default of CONFIG_PHYSICAL_START, and Debian's (Linux, Documentation/arch/x86/x86_64/mm.rst, "kernel text mapping").
 */
const LINKED = [
  { from: 0xffff_ffff_8000_0000n, to: 1n << 64n, at: 0xffff_ffff_8100_0000n },
  { from: 0xc000_0000n, to: 1n << 32n, at: 0xc100_0000n },
]

const hex = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`)

/** A command of gdb's `monitor`, as `gdbTarget` of `@retrap/machine` takes it. */
export interface LinuxCommand {
  /** The command's name, then the words that may follow. */
  readonly usage: string
  /** The command's effect. */
  readonly help: string
  /** Does the command for a vCPU. @param given - the words after its name @returns what to print, in whole lines */
  run(cpu: number, given: readonly string[]): string
}

/**
 * `monitor kaslr`: how far Linux lies from where it was linked, by the table of symbols that it keeps of itself.
 *
 * @param machine - returns the machine as it is when the command is given
 * @returns a command as `gdbTarget` takes them
 */
export function kaslrCommand(machine: () => LinuxMemory): LinuxCommand {
  return {
    usage: 'kaslr',
    help: 'where Linux lies, and how gdb gets its symbols there',
    run: () => describePlace(linuxSymbols(machine()).find(({ name }) => name === FIRST)?.address),
  }
}

function describePlace(text: bigint | undefined): string {
  if (text === undefined) return 'There is no Linux in memory that has its table of symbols (CONFIG_KALLSYMS).\n'
  const linked = LINKED.find(({ from, to }) => text >= from && text < to)
  if (linked === undefined) {
    // Where an arm64 kernel is linked depends on its version and settings: gdb finds it in the file.
    return `${FIRST} is at ${hex(text)}: file vmlinux, then symbol-file -o ${hex(text)}-(long)&${FIRST} vmlinux\n`
  }
  const offset = hex(text - linked.at)
  return `${FIRST} is at ${hex(text)}, ${offset} from where it was linked: symbol-file -o ${offset} vmlinux\n`
}
