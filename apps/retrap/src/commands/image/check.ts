import { checkQcow2, type Qcow2Check, repairQcow2 } from '@retrap/block'
import { FileStorage, type ImageFormat, openStorage, shownName } from '@retrap/block/node'
import { sourceOptions, type Print } from '../../machine/drives/formats.ts'

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
    void say(flags.output === 'json' ? asJson(path, before, after) : asText(before, after))
    if (after.corruptions > 0) return DAMAGED
    return after.leaks > 0 ? LEAKS : WHOLE
  } finally {
    await storage.close()
  }
}

function asJson(path: string, before: Qcow2Check, after: Qcow2Check): string {
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

function asText(before: Qcow2Check, after: Qcow2Check): string {
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
