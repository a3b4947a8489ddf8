import { Stateful } from '@retrap/device'
import { applyChange, type StoreChange } from './store-changes.ts'
import {
  countOwned,
  find,
  mayAccess,
  namesOf,
  parentOf,
  restoreTree,
  type SavedNode,
  saveTree,
  type StoreNode,
  type StorePermission,
} from './store-tree.ts'

/** Answers of the store that refuse a request, by the names of the protocol (public/io/xs_wire.h, xsd_errors). */
export type StoreErrno =
  | 'EINVAL'
  | 'EACCES'
  | 'EEXIST'
  | 'ENOENT'
  | 'ENOSPC'
  | 'ENOSYS'
  | 'EBUSY'
  | 'EAGAIN'
  | 'E2BIG'
  | 'EPERM'

/** Thrown inside the store and caught where the request came from. */
export class StoreRefusal extends Error {
  readonly errno: StoreErrno

  constructor(errno: StoreErrno) {
    super(errno)
    this.name = 'StoreRefusal'
    this.errno = errno
  }
}

/** Limits of one guest, equal to defaults of Xen's xenstored. */
export const STORE_QUOTA: Readonly<
  Record<'nodes' | 'valueBytes' | 'watches' | 'transactions' | 'transactionNodes' | 'permissions', number>
> = { nodes: 1000, valueBytes: 2048, watches: 128, transactions: 10, transactionNodes: 1024, permissions: 5 }

/** Longest paths of the protocol (public/io/xs_wire.h). */
const ABSOLUTE_PATH_MAX = 3072
const RELATIVE_PATH_MAX = 2048
/** Domain 0 may do everything. */
export const HOST = 0
/** Paths that are events and no nodes. */
const SPECIAL = ['@introduceDomain', '@releaseDomain']

/** A guest's or the host's view of the store between two calls. */
interface Transaction {
  root: StoreNode
  readonly base: StoreNode
  /** Generation of each node that was read; −1: it did not exist. */
  readonly seen: Map<string, number>
  readonly changes: StoreChange[]
}

/** An open transaction in a saved state. */
interface SavedTransaction {
  readonly id: number
  /** The tree at the transaction's start; null: the present tree. */
  readonly base: readonly SavedNode[] | null
  readonly seen: readonly (readonly [path: string, generation: number])[]
  readonly changes: readonly StoreChange[]
}

/** A path that a client is told of, if something at or below it changes. */
export interface StoreWatch {
  readonly client: StoreClient
  /** Absolute. */
  readonly path: string
  /** The path as the client wrote it. */
  readonly given: string
  readonly token: string
}

/** The store's interface for its clients. */
export interface StoreBackend {
  /** The root of the present tree. */
  readonly root: StoreNode
  /** A number that no node has had. */
  nextGeneration(): number
  /** Makes changes, and tells those that watch. */
  commit(changes: readonly StoreChange[]): void
  /** @param tell - also tells the watcher at once, as a new watch does; default true */
  addWatch(watch: StoreWatch, tell?: boolean): void
  removeWatch(client: StoreClient, given: string, token: string): void
  removeWatches(client: StoreClient): void
  watchesOf(client: StoreClient): readonly StoreWatch[]
}

/** Told that something at or below a watched path may have changed. */
type WatchListener = (path: string, token: string) => void

/** Whether a text is a path: absolute, or relative to a client's own node. */
export function isStorePath(given: string): boolean {
  const isRelative = !given.startsWith('/')
  if (given.length > (isRelative ? RELATIVE_PATH_MAX : ABSOLUTE_PATH_MAX)) return false
  return given === '/' || /^(\/[-\w@]+)+$/.test(isRelative ? `/${given}` : given)
}

/**
 * One party's access to the store: all that the protocol can ask, as calls. Throws `StoreRefusal`.
 */
export class StoreClient extends Stateful {
  readonly domain: number
  readonly #store: StoreBackend
  readonly #home: string
  readonly #transactions = new Map<number, Transaction>()
  /** A restore fires no watch: watches fire only for later changes. */
  readonly #r = this.keeps({
    // Paths as they were given, and tokens.
    watches: {
      save: () => this.#store.watchesOf(this).map(({ given, token }) => [given, token]),
      restore: (watches: readonly (readonly [given: string, token: string])[]) => {
        this.#store.removeWatches(this)
        for (const [given, token] of watches)
          this.#store.addWatch({ client: this, path: this.resolve(given), given, token }, false)
      },
    },
    transactions: {
      save: () => Array.from(this.#transactions, ([id, transaction]) => this.#saved(id, transaction)),
      restore: (transactions: readonly SavedTransaction[]) => this.#restoreTransactions(transactions),
    },
    nextTransaction: 1,
  })
  /** Called for watch events; paths as the watch named them. */
  onWatch: WatchListener = () => undefined

  /** Use {@link StoreService.connect}. */
  constructor(store: StoreBackend, domain: number) {
    super()
    this.domain = domain
    this.#store = store
    this.#home = `/local/domain/${domain}`
  }

  /** An absolute path, checked. @throws StoreRefusal `EINVAL` */
  resolve(given: string): string {
    if (!isStorePath(given)) throw new StoreRefusal('EINVAL')
    return given.startsWith('/') ? given : `${this.#home}/${given}`
  }

  #root(id: number): StoreNode {
    return id === 0 ? this.#store.root : this.#transaction(id).root
  }

  #transaction(id: number): Transaction {
    const transaction = this.#transactions.get(id)
    if (transaction === undefined) throw new StoreRefusal('ENOENT')
    return transaction
  }

  #look(id: number, path: string): StoreNode | undefined {
    const node = find(this.#root(id), path)
    if (id !== 0) {
      const { seen, base } = this.#transaction(id)
      if (!seen.has(path)) {
        if (this.#over(seen.size)) throw new StoreRefusal('ENOSPC')
        seen.set(path, find(base, path)?.generation ?? -1)
      }
    }
    return node
  }

  /** Returns a node if the client has the rights. A missing node is reported only to clients that may read its parent. */
  #get(id: number, path: string, write: boolean): StoreNode {
    const node = this.#look(id, path)
    if (node !== undefined) {
      if (!mayAccess(node, this.domain, write)) throw new StoreRefusal('EACCES')
      return node
    }
    if (!mayAccess(this.#nearest(id, path), this.domain, write)) throw new StoreRefusal('EACCES')
    throw new StoreRefusal('ENOENT')
  }

  /** The node at a path, or the nearest one above it. A node below cannot come without a change of that one. */
  #nearest(id: number, path: string): StoreNode {
    const there = namesOf(path).slice(0, this.#depthOf(id, path))
    return this.#look(id, `/${there.join('/')}`) ?? this.#root(id)
  }

  /** Whether a transaction has as much in it as a guest's may. */
  #over(size: number): boolean {
    return this.domain !== HOST && size >= STORE_QUOTA.transactionNodes
  }

  #change(id: number, change: StoreChange): void {
    if (id === 0) {
      this.#store.commit([change])
      return
    }
    const transaction = this.#transaction(id)
    if (this.#over(transaction.changes.length)) throw new StoreRefusal('ENOSPC')
    transaction.root = applyChange(transaction.root, change)
    transaction.changes.push(change)
  }

  read(id: number, path: string): Uint8Array {
    return this.#get(id, path, false).value
  }

  /** Names of a node's children, and its generation. */
  directory(id: number, path: string): { readonly names: readonly string[]; readonly generation: number } {
    const { children, generation } = this.#get(id, path, false)
    return { names: [...children.keys()], generation }
  }

  write(id: number, path: string, value: Uint8Array): void {
    if (this.domain !== HOST && value.length > STORE_QUOTA.valueBytes) throw new StoreRefusal('ENOSPC')
    const node = this.#look(id, path)
    if (node === undefined) this.#create(id, path, value)
    else {
      if (!mayAccess(node, this.domain, true)) throw new StoreRefusal('EACCES')
      this.#change(id, { kind: 'value', path, value: value.slice(), generation: this.#store.nextGeneration() })
    }
  }

  makeDirectory(id: number, path: string): void {
    const node = this.#look(id, path)
    if (node === undefined) this.#create(id, path, new Uint8Array(0))
    else if (!mayAccess(node, this.domain, true)) throw new StoreRefusal('EACCES')
  }

  /** Makes a node and its missing ancestors, with their parent's permissions, owned by the creator. */
  #create(id: number, path: string, value: Uint8Array): void {
    const above = this.#nearest(id, path)
    if (!mayAccess(above, this.domain, true)) throw new StoreRefusal('EACCES')
    if (this.domain !== HOST) {
      const missing = namesOf(path).length - this.#depthOf(id, path)
      if (countOwned(this.#root(id), this.domain) + missing > STORE_QUOTA.nodes) throw new StoreRefusal('ENOSPC')
    }
    const { domain } = this
    const generation = this.#store.nextGeneration()
    this.#change(id, { kind: 'creation', path, value: value.slice(), domain, generation })
  }

  #depthOf(id: number, path: string): number {
    let node: StoreNode | undefined = this.#root(id)
    let depth = 0
    for (const name of namesOf(path)) {
      node = node.children.get(name)
      if (node === undefined) return depth
      depth++
    }
    return depth
  }

  /** Removes a node with its descendants. Removing a missing node is not an error if its parent exists. */
  remove(id: number, path: string): void {
    if (path === '/') throw new StoreRefusal('EINVAL')
    const node = this.#look(id, path)
    if (node === undefined) {
      const parent = this.#look(id, parentOf(path))
      if (parent === undefined) throw new StoreRefusal('ENOENT')
      if (!mayAccess(parent, this.domain, true)) throw new StoreRefusal('EACCES')
      return
    }
    if (!mayAccess(node, this.domain, true)) throw new StoreRefusal('EACCES')
    this.#change(id, { kind: 'removal', path, generation: this.#store.nextGeneration() })
  }

  permissions(id: number, path: string): readonly StorePermission[] {
    return this.#get(id, path, false).permissions
  }

  /** @param permissions - permissions, of which the first names the owner */
  setPermissions(id: number, path: string, permissions: readonly StorePermission[]): void {
    const node = this.#get(id, path, true)
    const owner = node.permissions[0]?.domain
    // Only a node's owner may change who may use it, and only the host may give it away.
    if (this.domain !== HOST) {
      if (owner !== this.domain) throw new StoreRefusal('EACCES')
      if (permissions[0]?.domain !== owner) throw new StoreRefusal('EPERM')
      if (permissions.length > STORE_QUOTA.permissions) throw new StoreRefusal('ENOSPC')
    }
    if (permissions.length === 0) throw new StoreRefusal('EINVAL')
    const generation = this.#store.nextGeneration()
    this.#change(id, { kind: 'permissions', path, permissions: [...permissions], generation })
  }

  /** @returns the new transaction's number, never 0 */
  begin(): number {
    if (this.domain !== HOST && this.#transactions.size >= STORE_QUOTA.transactions) throw new StoreRefusal('ENOSPC')
    let id = this.#r.nextTransaction
    while (id === 0 || this.#transactions.has(id)) id = (id + 1) >>> 0
    this.#r.nextTransaction = (id + 1) >>> 0
    const { root } = this.#store
    this.#transactions.set(id, { root, base: root, seen: new Map(), changes: [] })
    return id
  }

  /**
   * Ends a transaction.
   *
   * @throws StoreRefusal `EAGAIN` if what it has looked at has changed: nothing is done then
   */
  end(id: number, commit: boolean): void {
    const { base, seen, changes } = this.#transaction(id)
    this.#transactions.delete(id)
    if (!commit) return
    const { root } = this.#store
    if (root !== base) {
      for (const [path, generation] of seen) {
        if ((find(root, path)?.generation ?? -1) !== generation) throw new StoreRefusal('EAGAIN')
      }
    }
    this.#store.commit(changes)
  }

  /** Watches a path, relative ones from the client's own; the first event comes at once. */
  watch(given: string, token: string): void {
    const special = SPECIAL.includes(given)
    // Only the host may know of other domains.
    if (special && this.domain !== HOST) throw new StoreRefusal('EACCES')
    const path = special ? given : this.resolve(given)
    this.#store.addWatch({ client: this, path, given, token })
  }

  /** @throws StoreRefusal `ENOENT` for a watch that does not exist */
  unwatch(given: string, token: string): void {
    this.#store.removeWatch(this, given, token)
  }

  /** Forgets transactions and watches: the client starts anew. */
  override reset(): void {
    this.#transactions.clear()
    this.#store.removeWatches(this)
  }

  #saved(id: number, { base, seen, changes }: Transaction): SavedTransaction {
    const isPresent = base === this.#store.root
    return { id, base: isPresent ? null : saveTree(base), seen: [...seen], changes: [...changes] }
  }

  #restoreTransactions(transactions: readonly SavedTransaction[]): void {
    this.#transactions.clear()
    for (const { id, base: saved, seen, changes } of transactions) {
      const base = saved === null ? this.#store.root : restoreTree(saved)
      const root = changes.reduce(applyChange, base)
      this.#transactions.set(id, { root, base, seen: new Map(seen), changes: [...changes] })
    }
  }
}
