import { find, namesOf, plant, replace, type StoreNode, type StorePermission } from './store-tree.ts'

/** A change of the store, done or to be done: data, so that an open transaction can be saved. */
export type StoreChange = {
  /** Absolute. */
  readonly path: string
  /** Number of the change, for the nodes that it changes. */
  readonly generation: number
} & (
  | {
      /** Makes a node and its missing ancestors. */
      readonly kind: 'creation'
      readonly value: Uint8Array
      /** The creating domain. */
      readonly domain: number
    }
  | { readonly kind: 'value'; readonly value: Uint8Array }
  | { readonly kind: 'permissions'; readonly permissions: readonly StorePermission[] }
  | { readonly kind: 'removal' }
)

/** Makes a change. A node that is not there any more gets no value and no permissions. @returns the new root */
export function applyChange(root: StoreNode, change: StoreChange): StoreNode {
  const { path, generation } = change
  const names = namesOf(path)
  if (change.kind === 'creation') return plant(root, names, change.value, change.domain, generation)
  if (change.kind === 'removal') return replace(root, names, undefined, generation)
  const old = find(root, path)
  if (old === undefined) return root
  const next =
    change.kind === 'value'
      ? { ...old, value: change.value, generation }
      : { ...old, permissions: change.permissions, generation }
  return replace(root, names, next, generation)
}
