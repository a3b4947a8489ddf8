/** Clusters of the disk that requests are moving to other places in the file. Other writes of them wait. */
export class ClusterLocks {
  readonly #held = new Map<number, Promise<void>>()

  has(cluster: number): boolean {
    return this.#held.has(cluster)
  }

  /** Settles when a cluster may be free. Look again then. */
  wait(cluster: number): Promise<void> {
    return this.#held.get(cluster) ?? Promise.resolve()
  }

  /** Takes clusters from `first` on, up to one that is taken. @returns how many there are, and how to give them back */
  take(first: number, most: number): { readonly count: number; release(): void } {
    let count = 0
    while (count < most && !this.#held.has(first + count)) count++
    let settle = (): void => {}
    const ended = new Promise<void>((resolve) => {
      settle = resolve
    })
    for (let i = 0; i < count; i++) this.#held.set(first + i, ended)
    return {
      count,
      release: () => {
        for (let i = 0; i < count; i++) this.#held.delete(first + i)
        settle()
      },
    }
  }
}
