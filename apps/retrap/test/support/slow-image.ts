import type { BlockImage } from '@retrap/block'
import { numbers } from '@retrap/tooling/random'

/** An image that takes its time: host milliseconds, from a sequence of their own. */
export function slow(image: BlockImage, seed: number): BlockImage {
  const draw = numbers(seed)
  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, draw(4)))
  return {
    properties: image.properties,
    read: (offset, into, request) => wait().then(() => image.read(offset, into, request)),
    write: (offset, from, request) => wait().then(() => image.write(offset, from, request)),
    flush: (request) => wait().then(() => image.flush(request)),
    discard: (offset, bytes, request) => image.discard(offset, bytes, request),
    writeZeroes: (offset, bytes, request) => image.writeZeroes(offset, bytes, request),
    onChange: (listener) => image.onChange(listener),
    idle: () => image.idle(),
    close: () => image.close(),
  }
}
