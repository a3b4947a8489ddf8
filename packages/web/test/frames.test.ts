/** What the Worker sends of a screen. */
import { Screen } from '@retrap/display'
import { expect, test } from 'vitest'
import type { SentFrame } from '../src/protocol.ts'
import { FrameSender } from '../src/worker/frames.ts'

test.each([true, false])('pixels are sent as a canvas takes them, shared: %s', (isShared) => {
  const screen = new Screen()
  const sent: SentFrame[] = []
  const moved: ArrayBuffer[] = []
  const sender = new FrameSender(screen, isShared, (frame, transfer) => {
    sent.push(frame)
    moved.push(...transfer)
  })
  screen.setMode({ width: 2, height: 2, stride: 8, format: 'bgrx8888' })
  const picture = Uint8Array.of(...[3, 2, 1, 0], ...[6, 5, 4, 9], ...[0, 0, 255, 0], ...[255, 0, 0, 0])
  screen.draw(picture, [{ x: 0, y: 0, width: 2, height: 2 }])
  const shown = (frame: SentFrame | undefined): number[] => {
    const { buffer } = frame?.dirty[0]?.pixels ?? sent[0]!.shared!
    return [...new Uint8Array(buffer)]
  }
  sender.watch(true)
  const first = [...[1, 2, 3, 255], ...[4, 5, 6, 255], ...[255, 0, 0, 255], ...[0, 0, 255, 255]]
  expect(shown(sent[0])).toEqual(first)
  sender.drawn()
  // A part of it.
  picture.set([0, 255, 0, 0], 12)
  screen.draw(picture, [{ x: 1, y: 1, width: 1, height: 1 }])
  screen.refresh()
  expect(sent[1]?.dirty).toMatchObject([{ x: 1, y: 1, width: 1, height: 1 }])
  expect(shown(sent[1])).toEqual(isShared ? [...first.slice(0, 12), 0, 255, 0, 255] : [0, 255, 0, 255])
  expect(moved).toHaveLength(isShared ? 0 : 2)
  sender.watch(false)
})
