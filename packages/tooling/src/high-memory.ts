/** The part of `MachineMemory` that is used here; this package does not depend on the class. */
interface MemoryOptions {
  readonly bytes: number
}
interface Memory {
  allocate(bytes: number, align: number, purpose: string): number
}

/** Machine addresses from here on have the sign of a 32-bit number. */
const SIGN = 2 ** 31
/** The least number of bytes that a memory keeps for itself at its beginning. */
const HEADER_BYTES = 64 << 10

/**
 * Has all memories of this test file hand out addresses above 2 GiB, where a shift with the sign, or a comparison of signed
 * numbers, is wrong. The memory below is never touched, so the host does not back it.
 *
 * @param memory - the class `MachineMemory`
 */
export function placeHigh<Options extends MemoryOptions>(memory: { create(options: Options): Memory }): void {
  const create = memory.create.bind(memory)
  memory.create = (options) => {
    const made = create({ ...options, bytes: options.bytes + SIGN })
    // A larger memory has larger tables: the first allocated address reveals their end.
    const first = made.allocate(HEADER_BYTES, HEADER_BYTES, 'unused')
    made.allocate(SIGN - first, HEADER_BYTES, 'unused')
    return made
  }
}
