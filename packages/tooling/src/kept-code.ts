/** Code in a {@link MemoryKeeper}, as `StoredCode` of `@retrap/engine` has it. */
interface HeldCode {
  readonly id: number
  readonly key: number
  bytes: Uint8Array
  read(): Uint8Array | undefined
}

/** Keeps compiled code in memory, as the option `keep` of `JitOptions` of `@retrap/engine` has it. */
export class MemoryKeeper {
  /** All stored code by its identity. */
  readonly codes = new Map<number, HeldCode>()
  readonly #byKey = new Map<string, HeldCode[]>()
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
    const of = (key: number): HeldCode[] => this.#byKey.get(`${name} ${key}`) ?? []
    const drop = (id: number): void => {
      const held = this.codes.get(id)
      if (held === undefined || !this.codes.delete(id)) return
      const others = of(held.key).filter((each) => each !== held)
      this.#byKey.set(`${name} ${held.key}`, others)
    }
    return {
      has: (key) => of(key).length > 0,
      find: of,
      add: (key, bytes, instead) => {
        if (instead !== undefined) drop(instead)
        const held: HeldCode = { id: ++this.#last, key, bytes, read: () => held.bytes.slice() }
        this.codes.set(held.id, held)
        this.#byKey.set(`${name} ${key}`, [...of(key), held])
        return held.id
      },
      drop: (id) => {
        this.dropped++
        drop(id)
      },
    }
  }
}
