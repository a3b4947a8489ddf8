import { type ImageFormat, shownName } from '@retrap/block/node'
import { closeLayers, extentsOf, type LayerExtent, openLayers } from '../../machine/drives/layers.ts'
import type { Print } from '../../machine/drives/formats.ts'
import { plainListed } from '../../print-lines.ts'

export interface MapFlags {
  readonly format?: ImageFormat
  readonly output: 'human' | 'json'
}

/** `retrap image map`. */
export async function map(path: string, flags: MapFlags, print: Print): Promise<void> {
  const layers = await openLayers(path, flags.format)
  try {
    if (flags.output === 'json') {
      let separator = '['
      for await (const extent of merged(extentsOf(layers))) {
        await print(`${separator}${describe(extent)}`)
        separator = ',\n'
      }
      void print(separator === '[' ? '[]\n' : ']\n')
      return
    }
    void print('Offset          Length          Mapped to       File\n')
    for await (const { start, bytes, depth, kind, fileOffset } of merged(extentsOf(layers))) {
      if (kind !== 'data' || fileOffset === undefined) continue
      const columns = [start, bytes, fileOffset].map((value) => hex(value).padEnd(16))
      await print(plainListed(`${columns.join('')}${shownName(layers[depth]!.path)}`))
    }
  } finally {
    await closeLayers(layers)
  }
}

const hex = (value: number): string => (value === 0 ? '0' : `0x${value.toString(16)}`)

/** Describes an extent, with the names of qemu-img. */
function describe({ start, bytes, depth, kind, fileOffset }: LayerExtent): string {
  const isData = kind === 'data' || kind === 'compressed'
  const fields = [
    `"start": ${start}`,
    `"length": ${bytes}`,
    `"depth": ${depth}`,
    `"present": ${kind !== 'unallocated'}`,
    `"zero": ${!isData}`,
    `"data": ${isData}`,
    ...(fileOffset === undefined ? [] : [`"offset": ${fileOffset}`]),
  ]
  return `{ ${fields.join(', ')}}`
}

/** Joins adjacent extents of the same kind. */
async function* merged(extents: AsyncIterable<LayerExtent>): AsyncGenerator<LayerExtent> {
  let last: LayerExtent | undefined
  for await (const next of extents) {
    const goesOn =
      last !== undefined &&
      last.depth === next.depth &&
      last.kind === next.kind &&
      (last.fileOffset === undefined ? next.fileOffset === undefined : last.fileOffset + last.bytes === next.fileOffset)
    if (last !== undefined && goesOn) last = { ...last, bytes: last.bytes + next.bytes }
    else {
      if (last !== undefined) yield last
      last = next
    }
  }
  if (last !== undefined) yield last
}
