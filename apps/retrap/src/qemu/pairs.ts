import { splitPairs } from '../options/values.ts'

/** A list of QEMU's, `kind,key=value,…`: a key alone is on, and keys may come again. */
export class Pairs {
  readonly all: (readonly [key: string, value: string])[]

  constructor(text: string) {
    const words = splitPairs(text).filter((word) => word !== '')
    this.all = words.map((word) => {
      const at = word.indexOf('=')
      return at < 0 ? [word, 'on'] : [word.slice(0, at), word.slice(at + 1)]
    })
  }

  get(key: string): string | undefined {
    return this.all.find(([name]) => name === key)?.[1]
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  set(key: string, value: string): void {
    const at = this.all.findIndex(([name]) => name === key)
    this.all.splice(at < 0 ? this.all.length : at, 1, [key, value])
  }

  /** Takes keys out. */
  without(keys: RegExp): this {
    for (const pair of this.all.filter(([key]) => keys.test(key))) this.all.splice(this.all.indexOf(pair), 1)
    return this
  }

  /** The text; the kind, which has no value, is the first word. */
  get text(): string {
    const words = this.all.map(([key, value], i) => (i === 0 && value === 'on' ? key : `${key}=${value}`))
    return words.map((word) => word.replaceAll(',', ',,')).join(',')
  }
}
