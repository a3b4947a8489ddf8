import { splitPairs } from './values.ts'

/** A list of QEMU's, `kind,key=value,…` or an object of JSON: a key alone is on, and keys may come again. Notes what is read. */
export class Pairs {
  readonly all: (readonly [key: string, value: string])[]
  /** The first word stands alone, as a kind does. */
  readonly #isKind: boolean
  readonly #read = new Set<string>()
  readonly #dropped: string[] = []

  /** @param kind - the JSON key whose value may come first, without the key */
  constructor(text: string, kind = 'driver') {
    if (text.startsWith('{')) {
      const flat = new Map(flatten(JSON.parse(text)))
      const first = flat.get(kind)
      flat.delete(kind)
      this.#isKind = first !== undefined
      this.all = [...(first === undefined ? [] : [[first, 'on'] as const]), ...flat]
      return
    }
    const words = splitPairs(text).filter((word) => word !== '')
    this.#isKind = words[0]?.includes('=') === false
    this.all = words.map((word) => {
      const at = word.indexOf('=')
      return at < 0 ? [word, 'on'] : [word.slice(0, at), word.slice(at + 1)]
    })
  }

  /** The first word, if it is not a key with a value. */
  get kind(): string {
    const [[first] = ['']] = this.all
    if (!this.#isKind) return ''
    this.#read.add(first)
    return first
  }

  get(key: string): string | undefined {
    this.#read.add(key)
    return this.all.find(([name]) => name === key)?.[1]
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  set(key: string, value: string): void {
    this.#read.add(key)
    const at = this.all.findIndex(([name]) => name === key)
    this.all.splice(at < 0 ? this.all.length : at, at < 0 ? 0 : 1, [key, value])
  }

  /** Renames a key. */
  rename(from: string, to: string): void {
    const value = this.get(from)
    if (value === undefined) return
    this.take(new RegExp(`^${from}$`))
    this.set(to, value)
  }

  /** Removes keys that have no meaning here. */
  without(keys: RegExp): this {
    this.#dropped.push(...this.take(keys).map(wordOf))
    return this
  }

  /** Removes and returns keys that are translated in another way. */
  take(keys: RegExp): readonly (readonly [key: string, value: string])[] {
    const taken = this.all.filter(([key], i) => keys.test(key) && !(i === 0 && this.#isKind))
    for (const pair of taken) this.all.splice(this.all.indexOf(pair), 1)
    return taken
  }

  /** The text; the kind, which has no value, is the first word. */
  get text(): string {
    for (const [key] of this.all) this.#read.add(key)
    const words = this.all.map(([key, value], i) => (i === 0 && this.#isKind ? key : `${key}=${value}`))
    return words.map((word) => word.replaceAll(',', ',,')).join(',')
  }

  /** The words that nobody has read. */
  get unread(): readonly string[] {
    return [...this.#dropped, ...this.all.filter(([key]) => !this.#read.has(key)).map(wordOf)]
  }
}

const wordOf = ([key, value]: readonly [string, string]): string => `${key}=${value}`

/** An object's values by their paths: `file.driver`. Switches are on and off. */
function* flatten(value: unknown, path = ''): Generator<readonly [string, string]> {
  if (typeof value === 'object' && value !== null)
    for (const [key, part] of Object.entries(value)) yield* flatten(part, path === '' ? key : `${path}.${key}`)
  else yield [path, typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)]
}
