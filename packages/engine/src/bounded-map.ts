/** A map that forgets its oldest entries beyond a number. */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #most: number

  /** @param most - the most entries, at least 1 */
  constructor(most: number) {
    super()
    this.#most = most
  }

  /** Sets an entry and makes it the newest one. */
  override set(key: K, value: V): this {
    this.delete(key)
    super.set(key, value)
    if (this.size > this.#most) {
      const [oldest] = this.keys()
      this.delete(oldest as K)
    }
    return this
  }
}
