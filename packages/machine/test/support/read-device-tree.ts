/** A node of a flattened device tree, as a test finds it. */
export interface FlatNode {
  readonly path: string
  readonly properties: ReadonlyMap<string, Uint8Array>
}

/** Reads a flattened device tree. Source: Devicetree Specification 0.4, chapter 5. */
export function readDeviceTree(blob: Uint8Array): FlatNode[] {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength)
  const [magic, , structure, strings] = [0, 4, 8, 12].map((at) => view.getUint32(at)) as [
    number,
    number,
    number,
    number,
  ]
  if (magic !== 0xd00d_feed) throw new Error('no device tree')
  const text = (at: number): string => {
    let end = at
    while (blob[end] !== 0) end++
    return String.fromCharCode(...blob.subarray(at, end))
  }
  const aligned = (at: number): number => (at + 3) & ~3
  const nodes: FlatNode[] = []
  const open: { path: string; properties: Map<string, Uint8Array> }[] = []
  for (let at = structure; ;) {
    const token = view.getUint32(at)
    at += 4
    if (token === 9) return nodes
    if (token === 1) {
      const name = text(at)
      at = aligned(at + name.length + 1)
      const above = open.at(-1)?.path ?? ''
      const node = { path: above === '/' ? `/${name}` : `${above}/${name}`, properties: new Map<string, Uint8Array>() }
      nodes.push(node)
      open.push(node)
    } else if (token === 2) open.pop()
    else if (token === 3) {
      const bytes = view.getUint32(at)
      open.at(-1)!.properties.set(text(strings + view.getUint32(at + 4)), blob.slice(at + 8, at + 8 + bytes))
      at = aligned(at + 8 + bytes)
    } else if (token !== 4) throw new Error(`token ${token} at ${at - 4}`)
  }
}
