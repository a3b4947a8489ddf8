/** Code in a {@link MemoryKeeper}, as `StoredCode` of `@retrap/engine` has it. */
interface HeldCode {
  readonly id: number
  /** Key of the code, with the names of the instruction set and the configuration. */
  readonly key: string
  bytes: Uint8Array
  read(): Uint8Array | undefined
}

/** Keeps compiled code in memory, as the option `keep` of `JitOptions` of `@retrap/engine` has it. */
export class MemoryKeeper {
  /** All stored code by its identity. */
  readonly codes = new Map<number, HeldCode>()
  /** Names of opened configurations. */
  readonly opened: string[] = []
  /** Number of dropped codes. */
  dropped = 0
  #last = 0

  /** Opens the store of a configuration. */
  open(
    instructionSet: string,
    configuration: string,
  ): {
    has(key: number): boolean
    find(key: number): readonly HeldCode[]
    add(key: number, code: Uint8Array, instead: number | undefined): number
    drop(id: number): void
  } {
    const name = `${instructionSet} ${configuration}`
    this.opened.push(name)
    const of = (key: number): HeldCode[] => [...this.codes.values()].filter((one) => one.key === `${name} ${key}`)
    return {
      has: (key) => of(key).length > 0,
      find: of,
      add: (key, bytes, instead) => {
        if (instead !== undefined) this.codes.delete(instead)
        const held: HeldCode = { id: ++this.#last, key: `${name} ${key}`, bytes, read: () => held.bytes.slice() }
        this.codes.set(held.id, held)
        return held.id
      },
      drop: (id) => {
        this.dropped++
        this.codes.delete(id)
      },
    }
  }
}
