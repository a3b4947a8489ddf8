import { Stateful } from '@retrap/device'
import { XenError } from '../errors.ts'
import { HOST, STORE_QUOTA, type StoreBackend, StoreClient, StoreRefusal, type StoreWatch } from './store-client.ts'
import { applyChange, type StoreChange } from './store-changes.ts'
import {
  emptyNode,
  find,
  isWithin,
  mayAccess,
  restoreTree,
  type SavedNode,
  saveTree,
  type StoreNode,
  type StorePermission,
} from './store-tree.ts'

/** Names and values that host and guest share; paths are absolute, and the host may do everything. */
export interface XenStore {
  /** The text at a path, or undefined. @throws XenError `ERR_STORE` for an invalid path, as all of these */
  read(path: string): string | undefined
  /** Writes a text, and makes the nodes that lead to it. */
  write(path: string, value: string | number): void
  /** Returns names of the children of a path; undefined if it does not exist. */
  list(path: string): readonly string[] | undefined
  /** Removes a node with its descendants. @returns whether it existed */
  remove(path: string): boolean
  /** Returns the rights to a node; undefined if it does not exist. */
  permissions(path: string): readonly StorePermission[] | undefined
  /**
   * Sets which domains may read and write a node.
   *
   * @param permissions - the first names the owner, and the rights of all others
   */
  setPermissions(path: string, permissions: readonly StorePermission[]): void
  /** Calls a listener for each change at or below a path, and once at first. @returns a function that ends it */
  watch(path: string, listener: (changed: string) => void): () => void
}

/**
 * A machine's store: names and values that host and guest share, with watches and transactions, as xenstored keeps it for Xen.
 *
 * Host calls take absolute paths and texts, may do everything, and throw `XenError` `ERR_STORE` for an invalid path.
 */
export class StoreService extends Stateful implements StoreBackend, XenStore {
  #root: StoreNode
  /** Watches and transactions belong to their clients. A restore fires no watch. */
  readonly #r = this.keeps({
    version: 2,
    /** The number of the next change. */
    generation: 1,
    nodes: {
      save: () => saveTree(this.#root),
      restore: (nodes: readonly SavedNode[]) => (this.#root = restoreTree(nodes)),
    },
  })
  readonly #watches: StoreWatch[] = []
  readonly #host: StoreClient

  constructor() {
    super()
    this.#root = emptyNode([{ domain: HOST, read: false, write: false }], 0)
    this.#host = this.connect(HOST)
  }

  /** The root of the present tree. */
  get root(): StoreNode {
    return this.#root
  }

  /** A number that no change has had. */
  nextGeneration(): number {
    return this.#r.generation++
  }

  /** Access for a domain. */
  connect(domain: number): StoreClient {
    return new StoreClient(this, domain)
  }

  // ---------------------------------------------------------------- the host's own

  /** The text at a path, or undefined. */
  read(path: string): string | undefined {
    const node = find(this.#root, this.#checked(path))
    return node === undefined ? undefined : new TextDecoder().decode(node.value)
  }

  /** Writes a text, making the nodes on the way that are missing; numbers are written in decimal. */
  write(path: string, value: string | number): void {
    this.#host.write(0, this.#checked(path), new TextEncoder().encode(String(value)))
  }

  /** Names below a path, or undefined where nothing is. */
  list(path: string): readonly string[] | undefined {
    const node = find(this.#root, this.#checked(path))
    return node === undefined ? undefined : [...node.children.keys()]
  }

  /** Removes a path with its descendants. @returns whether it existed */
  remove(path: string): boolean {
    if (find(this.#root, this.#checked(path)) === undefined) return false
    this.#host.remove(0, path)
    return true
  }

  /** Returns the rights to a node; undefined if it does not exist. */
  permissions(path: string): readonly StorePermission[] | undefined {
    return find(this.#root, this.#checked(path))?.permissions
  }

  /**
   * Sets which domains may read and write a node.
   *
   * @param permissions - the first names the owner, and the rights of all others
   */
  setPermissions(path: string, permissions: readonly StorePermission[]): void {
    const node = find(this.#root, this.#checked(path))
    if (node === undefined || permissions.length === 0) {
      throw new XenError('ERR_STORE', `${path}: expected a node of the store and at least its owner's permission`)
    }
    this.#host.setPermissions(0, path, permissions)
  }

  /**
   * Watches a path: `listener` is called once for it as it is, and then with whatever may have changed at or below it,
   * after the guest's request has been done.
   *
   * @returns a function that ends the watch
   */
  watch(path: string, listener: (changed: string) => void): () => void {
    const client = this.connect(HOST)
    // Asynchronous, so that the listener's actions and errors do not affect the guest's request.
    client.onWatch = (changed) => void Promise.resolve().then(() => listener(changed))
    client.watch(this.#checked(path), 'host')
    return () => client.reset()
  }

  #checked(path: string): string {
    try {
      if (path.startsWith('/')) return this.#host.resolve(path)
    } catch {
      // Below.
    }
    throw new XenError('ERR_STORE', `'${path}' is no path of the store: expected /name/name… of letters, digits, - _ @`)
  }

  // ---------------------------------------------------------------- clients

  /** Makes changes and tells the watches of them. */
  commit(changes: readonly StoreChange[]): void {
    const before = this.#root
    for (const change of changes) this.#root = applyChange(this.#root, change)
    for (const { path, kind } of changes) this.#fire(path, kind === 'removal', before)
  }

  #fire(path: string, removal: boolean, before: StoreNode): void {
    for (const { client, path: watched, given, token } of [...this.#watches]) {
      if (isWithin(path, watched)) {
        if (this.#mayKnow(client, path, before)) client.onWatch(relativeTo(path, watched, given), token)
      } else if (removal && isWithin(watched, path) && this.#mayKnow(client, watched, before)) {
        client.onWatch(given, token)
      }
    }
  }

  /** Whether a client may be notified of a change at a path: it may read the node, as it is or as it was. */
  #mayKnow(client: StoreClient, path: string, before: StoreNode): boolean {
    const node = find(this.#root, path) ?? find(before, path)
    return node === undefined || mayAccess(node, client.domain, false)
  }

  /** Adds a watch. @param tell - also tells the watcher at once */
  addWatch(watch: StoreWatch, tell: boolean = true): void {
    const { client, given, token } = watch
    const own = this.watchesOf(client)
    if (own.some((each) => each.given === given && each.token === token)) throw new StoreRefusal('EEXIST')
    if (client.domain !== HOST && own.length >= STORE_QUOTA.watches) throw new StoreRefusal('E2BIG')
    this.#watches.push(watch)
    if (tell) client.onWatch(given, token)
  }

  /** Removes a client's watch. */
  removeWatch(client: StoreClient, given: string, token: string): void {
    const at = this.#watches.findIndex((each) => each.client === client && each.given === given && each.token === token)
    if (at < 0) throw new StoreRefusal('ENOENT')
    this.#watches.splice(at, 1)
  }

  /** A client's watches. */
  watchesOf(client: StoreClient): readonly StoreWatch[] {
    return this.#watches.filter((each) => each.client === client)
  }

  /** Removes all watches of a client. */
  removeWatches(client: StoreClient): void {
    for (let i = this.#watches.length - 1; i >= 0; i--)
      if (this.#watches[i]?.client === client) this.#watches.splice(i, 1)
  }
}

/** Returns a changed path in the form of the watch's path: relative if that was relative. */
function relativeTo(path: string, watched: string, given: string): string {
  return watched === '/' ? path : given + path.slice(watched.length)
}
