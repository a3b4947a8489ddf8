import { type LinuxSymbol, readKallsyms } from './kallsyms.ts'

const PAGE_BYTES = 4096

/** The memory of a machine with Linux. */
export interface LinuxMemory {
  /** Machine memory. */
  readonly memory: { readonly u8: Uint8Array }
  /** Where guest-physical memory lies in machine memory. */
  readonly domain: {
    /** The map of guest frames; a leaf has 2^order of them. */
    readonly p2m: {
      leaves(): Iterable<{ readonly gfn: number; readonly order: number; readonly type: number }>
      isRam(type: number): boolean
    }
    /** Where a guest-physical address is in machine memory; below 0: nowhere. */
    readonly secondLevel: { peek(gpa: number): number }
  }
}

/** Functions of a Linux kernel that runs in a machine, as its memory has them; none where no kernel is found. */
export function linuxSymbols({ domain, memory }: LinuxMemory): LinuxSymbol[] {
  let gfn = 0
  let mfn = 0
  let frames = 0
  const search = (): LinuxSymbol[] =>
    frames === 0 ? [] : readKallsyms(memory.u8.subarray(mfn * PAGE_BYTES, (mfn + frames) * PAGE_BYTES))
  // Contents that a restored machine has not needed yet are brought, which changes the map.
  for (const leaf of [...domain.p2m.leaves()]) {
    const ma = domain.p2m.isRam(leaf.type) ? domain.secondLevel.peek(leaf.gfn * PAGE_BYTES) : -1
    if (ma < 0) continue
    const count = 2 ** leaf.order
    const from = ma / PAGE_BYTES
    if (leaf.gfn === gfn + frames && from === mfn + frames) {
      frames += count
      continue
    }
    const found = search()
    if (found.length > 0) return found
    gfn = leaf.gfn
    mfn = from
    frames = count
  }
  return search()
}

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

/**
 * `monitor kaslr`: how far Linux lies from where it was linked, by the table of symbols that it keeps of itself.
 *
 * @param machine - returns the machine as it is when the command is given
 * @returns a command as `gdbTarget` takes them
 */
export function kaslrCommand(machine: () => LinuxMemory): {
  readonly usage: string
  readonly help: string
  run(): string
} {
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
