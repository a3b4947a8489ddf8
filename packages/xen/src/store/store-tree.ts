/*
 * The store's nodes. They never change once made: a change makes a new node and new ones above it, so that a
 * transaction's view of the store is its root.
 */

/** A domain's rights to a node. */
export interface StorePermission {
  /** The domain's number. */
  readonly domain: number
  /** Whether the guest may read the node. */
  readonly read: boolean
  /** Whether the guest may write the node, and make nodes below. */
  readonly write: boolean
}

/** One immutable node of the store. */
export interface StoreNode {
  readonly value: Uint8Array
  /**
   * The first names the owner, who may do everything, and what domains may do that no other entry names.
   *
   * Source: Xen's docs/misc/xenstore.txt, "Permissions".
   */
  readonly permissions: readonly StorePermission[]
  readonly children: ReadonlyMap<string, StoreNode>
  /** Changes whenever the value, the permissions or the names of the children do. */
  readonly generation: number
}

/** A node of the store as data. A tree is a list of them: each node is followed by what is below it. */
export interface SavedNode extends Omit<StoreNode, 'children'> {
  /** Number of ancestors: 0 for the root. */
  readonly depth: number
  /** Empty for the root. */
  readonly name: string
}

const NO_CHILDREN: ReadonlyMap<string, StoreNode> = new Map()
const EMPTY = new Uint8Array(0)

/** A node without value and children. */
export function emptyNode(permissions: readonly StorePermission[], generation: number): StoreNode {
  return { value: EMPTY, permissions, children: NO_CHILDREN, generation }
}

/** The names on the way to an absolute path. */
export function namesOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/')
}

/** The node at a path, or undefined. */
export function find(root: StoreNode, path: string): StoreNode | undefined {
  let node: StoreNode | undefined = root
  for (const name of namesOf(path)) {
    node = node.children.get(name)
    if (node === undefined) return undefined
  }
  return node
}

/** Returns the parent's path; the root's is the root. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

/** Whether a path equals another one, or lies below it. */
export function isWithin(path: string, above: string): boolean {
  return path === above || above === '/' || path.startsWith(`${above}/`)
}

/**
 * Sets or removes a node at a path whose parent exists.
 *
 * @param generation - generation for a parent whose list of children changes
 * @returns the new root
 */
export function replace(
  root: StoreNode,
  names: readonly string[],
  node: StoreNode | undefined,
  generation: number,
  at: number = 0,
): StoreNode {
  const name = names[at]
  if (name === undefined) return node ?? root
  const old = root.children.get(name)
  const last = at === names.length - 1
  if (old === undefined && !last) return root
  const next = last ? node : replace(old as StoreNode, names, node, generation, at + 1)
  const children = new Map(root.children)
  if (next === undefined) children.delete(name)
  else children.set(name, next)
  const listChanged = (old === undefined) !== (next === undefined)
  return { ...root, children, generation: listChanged ? generation : root.generation }
}

/**
 * Puts a value at a path, making the nodes on the way that are missing. They have their parent's permissions, but belong
 * to who made them; the host's belong to whom the parent does.
 *
 * @param domain - who makes them
 * @param generation - generation for the nodes, and for a parent whose list of children changes
 * @returns the new root
 */
export function plant(
  root: StoreNode,
  names: readonly string[],
  value: Uint8Array,
  domain: number,
  generation: number,
  at: number = 0,
): StoreNode {
  const name = names[at]
  if (name === undefined) return { ...root, value, generation }
  const old = root.children.get(name)
  const child = old ?? emptyNode(inherited(root.permissions, domain), generation)
  const children = new Map(root.children)
  children.set(name, plant(child, names, value, domain, generation, at + 1))
  return { ...root, children, generation: old === undefined ? generation : root.generation }
}

function inherited(permissions: readonly StorePermission[], domain: number): readonly StorePermission[] {
  if (domain === 0) return permissions
  return [{ read: false, write: false, ...permissions[0], domain }, ...permissions.slice(1)]
}

/** Nodes of a subtree that a domain owns, itself included. */
export function countOwned(node: StoreNode, domain: number): number {
  let count = node.permissions[0]?.domain === domain ? 1 : 0
  for (const child of node.children.values()) count += countOwned(child, domain)
  return count
}

/** Whether a domain may read or write a node; the owner and domain 0 may always. */
export function mayAccess(node: StoreNode, domain: number, write: boolean): boolean {
  const [owner, ...others] = node.permissions
  if (domain === 0 || owner === undefined || owner.domain === domain) return true
  const entry = others.find((each) => each.domain === domain) ?? owner
  return write ? entry.write : entry.read
}

/** `r1`, `b0`, as the protocol has permissions. */
export function formatPermission({ domain, read, write }: StorePermission): string {
  return `${write ? (read ? 'b' : 'w') : read ? 'r' : 'n'}${domain}`
}

/** @returns undefined for an invalid permission */
export function parsePermission(text: string): StorePermission | undefined {
  const match = /^([rwbn])(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const [, kind, digits] = match
  const domain = Number(digits)
  if (domain > 0xffff) return undefined
  return { domain, read: kind === 'r' || kind === 'b', write: kind === 'w' || kind === 'b' }
}

/** The nodes of a tree, in the order of their lists of children. */
export function saveTree(root: StoreNode): SavedNode[] {
  const nodes: SavedNode[] = []
  const add = ({ value, permissions, generation, children }: StoreNode, name: string, depth: number): void => {
    nodes.push({ depth, name, value, permissions, generation })
    for (const [below, child] of children) add(child, below, depth + 1)
  }
  add(root, '', 0)
  return nodes
}

/** Builds a tree of its nodes; nodes without a parent are left out. */
export function restoreTree(nodes: readonly SavedNode[]): StoreNode {
  /** By depth: the children of the last node made there. */
  const open: Map<string, StoreNode>[] = []
  let root: StoreNode | undefined
  for (const { depth, name, value, permissions, generation } of nodes) {
    const children = new Map<string, StoreNode>()
    const node = { value: value.slice(), permissions, generation, children }
    open.length = Math.min(open.length, depth)
    open[depth] = children
    if (depth === 0) root ??= node
    else open[depth - 1]?.set(name, node)
  }
  return root ?? emptyNode([{ domain: 0, read: false, write: false }], 0)
}
