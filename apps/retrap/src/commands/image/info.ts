import { stat } from 'node:fs/promises'
import { type Qcow2Info, type Qcow2Snapshot, readQcow2Info } from '@retrap/block'
import { isUrl, type ImageFormat, openStorage, resolveBacking, shownName } from '@retrap/block/node'
import { formatSize, sourceOptions, type Print } from '../../machine/drives/formats.ts'
import { chainOf } from '../../machine/drives/layers.ts'
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
