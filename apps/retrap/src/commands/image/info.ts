import { stat } from 'node:fs/promises'
import {
  checkQcow2,
  type Qcow2Check,
  type Qcow2Info,
  type Qcow2Snapshot,
  readQcow2Info,
  repairQcow2,
} from '@retrap/block'
import { FileStorage, type ImageFormat, isUrl, openStorage, resolveBacking, shownName } from '@retrap/block/node'
import { formatSize, type Print, sourceOptions } from '../../machine/drives/formats.ts'
import { chainOf, closeLayers, extentsOf, type LayerExtent, openLayers } from '../../machine/drives/layers.ts'
import { plainListed } from '../../print-lines.ts'

export interface InfoFlags {
  readonly format?: ImageFormat
  readonly output: 'human' | 'json'
  readonly backingChain?: boolean
}

/** `retrap image info`. */
export async function info(path: string, flags: InfoFlags, print: Print): Promise<void> {
  const files =
    flags.backingChain === true
      ? await chainOf(path, flags.format)
      : [{ path, format: (await sourceOptions(path, flags.format)).format, sameOrigin: false }]
  const described = await Promise.all(files.map(describe))
  if (flags.output === 'human') void print(described.map(asText).join('\n'))
  else {
    const objects = described.map(asObject)
    void print(`${JSON.stringify(flags.backingChain === true ? objects : objects[0], null, 4)}\n`)
  }
}

interface Described {
  readonly path: string
  readonly format: ImageFormat
  readonly bytes: number
  /** Null: a web server does not say. */
  readonly fileBytes: number | null
  readonly qcow2: Qcow2Info | null
}

type NamedFile = { readonly path: string; readonly format: ImageFormat; readonly sameOrigin: boolean }

async function describe({ path, format, sameOrigin }: NamedFile): Promise<Described> {
  const storage = await openStorage(path, { readOnly: true, sameOrigin })
  try {
    // Blocks are counted in units of 512 bytes.
    const fileBytes = isUrl(path) ? null : (await stat(path)).blocks * 512
    const qcow2 = format === 'qcow2' ? await readQcow2Info(storage) : null
    return { path, format, fileBytes, qcow2, bytes: qcow2?.bytes ?? Math.ceil(storage.bytes / 512) * 512 }
  } finally {
    await storage.close()
  }
}

/** Returns the description as JSON, with the names of qemu-img. */
function asObject({ path, format, bytes, fileBytes, qcow2 }: Described): object {
  const common = {
    filename: shownName(path),
    format,
    'virtual-size': bytes,
    ...(fileBytes !== null && { 'actual-size': fileBytes }),
  }
  if (qcow2 === null) return { ...common, 'dirty-flag': false }
  const { backing, snapshots } = qcow2
  return {
    ...common,
    'cluster-size': qcow2.clusterBytes,
    'dirty-flag': qcow2.isDirty,
    ...(backing !== null && {
      'backing-filename': shownName(backing.name),
      'full-backing-filename': shownName(resolveBacking(path, backing.name)),
      ...(backing.format !== null && { 'backing-filename-format': backing.format }),
    }),
    ...(snapshots.length > 0 && { snapshots: snapshots.map(snapshotObject) }),
    'format-specific': {
      type: 'qcow2',
      data: {
        compat: qcow2.version === 2 ? '0.10' : '1.1',
        'compression-type': qcow2.compression,
        ...(qcow2.version === 3 && { 'lazy-refcounts': qcow2.hasLazyRefcounts }),
        'refcount-bits': qcow2.refcountBits,
        ...(qcow2.version === 3 && { corrupt: qcow2.isCorrupt, 'extended-l2': false }),
      },
    },
  }
}

const snapshotObject = ({ id, name, takenMs, stateBytes }: Qcow2Snapshot): object => ({
  id,
  name,
  'date-sec': Math.floor(takenMs / 1000),
  'date-nsec': (takenMs % 1000) * 1_000_000,
  'vm-state-size': stateBytes,
})

function asText({ path, format, bytes, fileBytes, qcow2 }: Described): string {
  const lines = [
    `image: ${shownName(path)}`,
    `file format: ${format}`,
    `virtual size: ${formatSize(bytes)} (${bytes} bytes)`,
    `disk size: ${fileBytes === null ? 'unavailable' : formatSize(fileBytes)}`,
  ]
  if (qcow2 === null) return lines.map(plainListed).join('')
  lines.push(`cluster_size: ${qcow2.clusterBytes}`)
  if (qcow2.isDirty) lines.push('cleanly shut down: no')
  if (qcow2.backing !== null) {
    lines.push(`backing file: ${shownName(qcow2.backing.name)}`)
    if (qcow2.backing.format !== null) lines.push(`backing file format: ${qcow2.backing.format}`)
  }
  if (qcow2.snapshots.length > 0) {
    lines.push('Snapshot list:', 'ID        TAG               STATE SIZE          DATE')
    for (const { id, name, takenMs, stateBytes } of qcow2.snapshots) {
      const date = new Date(takenMs).toISOString().replace('T', ' ').slice(0, 19)
      lines.push(`${id.padEnd(9)} ${name.padEnd(17)} ${formatSize(stateBytes).padStart(10)} ${date}`)
    }
  }
  lines.push(
    'Format specific information:',
    `    compat: ${qcow2.version === 2 ? '0.10' : '1.1'}`,
    `    compression type: ${qcow2.compression}`,
    `    lazy refcounts: ${qcow2.hasLazyRefcounts}`,
    `    refcount bits: ${qcow2.refcountBits}`,
    `    corrupt: ${qcow2.isCorrupt}`,
    '    extended l2: false',
  )
  return lines.map(plainListed).join('')
}

export interface CheckFlags {
  readonly format?: ImageFormat
  readonly output: 'human' | 'json'
  readonly repair?: 'leaks' | 'all'
  readonly quiet?: boolean
}

/** Exit codes of qemu-img. */
const WHOLE = 0
const DAMAGED = 2
const LEAKS = 3
const NOTHING_TO_CHECK = 63

/** `retrap image check`. @returns the exit code */
export async function check(path: string, flags: CheckFlags, print: Print): Promise<number> {
  const { format } = await sourceOptions(path, flags.format)
  const say = flags.quiet === true ? (): void => {} : print
  if (format === 'raw') {
    void say('This image format does not support checks\n')
    return NOTHING_TO_CHECK
  }
  const storage = await (flags.repair === undefined ? openStorage(path, { readOnly: true }) : FileStorage.open(path))
  try {
    const before = await checkQcow2(storage)
    const after = flags.repair === undefined ? before : await repairQcow2(storage, flags.repair)
    void say(flags.output === 'json' ? checkAsJson(path, before, after) : checkAsText(before, after))
    if (after.corruptions > 0) return DAMAGED
    return after.leaks > 0 ? LEAKS : WHOLE
  } finally {
    await storage.close()
  }
}

function checkAsJson(path: string, before: Qcow2Check, after: Qcow2Check): string {
  const nonzero = (name: string, value: number): object => (value > 0 ? { [name]: value } : {})
  const described = {
    filename: shownName(path),
    format: 'qcow2',
    'check-errors': 0,
    'image-end-offset': after.endOffset,
    'total-clusters': after.totalClusters,
    ...nonzero('allocated-clusters', after.allocatedClusters),
    ...nonzero('compressed-clusters', after.compressedClusters),
    ...nonzero('leaks', after.leaks),
    ...nonzero('corruptions', after.corruptions),
    ...nonzero('leaks-fixed', before.leaks - after.leaks),
    ...nonzero('corruptions-fixed', before.corruptions - after.corruptions),
  }
  return `${JSON.stringify(described, null, 4)}\n`
}

function checkAsText(before: Qcow2Check, after: Qcow2Check): string {
  const lines = before.messages.map((message) => message.replace(/^./, (letter) => letter.toUpperCase()))
  const fixed = before.leaks + before.corruptions - after.leaks - after.corruptions
  if (fixed > 0)
    lines.push(`Repaired: ${before.leaks - after.leaks} leaks, ${before.corruptions - after.corruptions} errors.`)
  if (after.leaks + after.corruptions === 0) lines.push('No errors were found on the image.')
  if (after.corruptions > 0) lines.push(`${after.corruptions} errors were found on the image. Data may be lost.`)
  if (after.leaks > 0) lines.push(`${after.leaks} leaked clusters were found on the image. They only waste room.`)
  const share = (clusters: number): string => `${((clusters / Math.max(1, after.totalClusters)) * 100).toFixed(2)}%`
  lines.push(
    `${after.allocatedClusters}/${after.totalClusters} = ${share(after.allocatedClusters)} allocated, ${after.compressedClusters} compressed clusters`,
    `Image end offset: ${after.endOffset}`,
  )
  return `${lines.join('\n')}\n`
}

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
        await print(`${separator}${textOfExtent(extent)}`)
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
function textOfExtent({ start, bytes, depth, kind, fileOffset }: LayerExtent): string {
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
