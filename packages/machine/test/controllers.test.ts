import * as device from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { factsOf, FarNetwork, MOST_FRAMES, NearNetwork } from '../src/back-ends/packets.ts'
import { decodeMessage, encodeMessage, type Post } from '../src/back-ends/messages.ts'
import { NearMedium, RemoteMedium } from '../src/controllers-worker/media.ts'
import { RemovableDrive } from '../src/devices/removable-drive.ts'
import { TestDisc } from './support/test-disc.ts'

/** Two ends, whose messages arrive when the test says. */
function wire() {
  const onTheWay: (() => void)[] = []
  const end = (to: () => { receive(message: ReturnType<typeof decodeMessage>): void }): Post => {
    return (kind, message) => {
      const bytes = encodeMessage(kind, message)
      onTheWay.push(() => to().receive(decodeMessage(bytes)))
    }
  }
  const deliver = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      for (const go of onTheWay.splice(0)) go()
      await Promise.resolve()
    }
  }
  return { end, deliver }
}

function media(medium: device.BlockBackend) {
  const { end, deliver } = wire()
  const far: RemoteMedium = new RemoteMedium(
    medium.properties,
    medium.tray !== undefined,
    end(() => near),
  )
  const near: NearMedium = new NearMedium(
    medium,
    end(() => far),
  )
  return { far, deliver }
}

describe('a medium of another thread', () => {
  test('is read and written, and fails with the code of the medium', async () => {
    const disc = new TestDisc(7, 1 << 20)
    const { far, deliver } = media(disc)
    const into = new Uint8Array(1024)
    const read = far.read(512, into)
    await deliver()
    await read
    expect(into).toEqual(new Uint8Array(1024).fill(7))
    const requests = [far.write(0, into), far.discard(0, 512), far.writeZeroes(0, 512)]
    await deliver()
    for (const request of requests) {
      await expect(request).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    }
    const flushed = far.flush()
    await deliver()
    await flushed
  })

  test('fails with the code of a medium that fails, where the failure has none or one of its own', async () => {
    const disc = new TestDisc(7, 1 << 20)
    const { far, deliver } = media(disc)
    for (const error of [new Error('odd'), new device.BlockError('ERR_OTHER' as device.BlockErrorCode, 'odd')]) {
      disc.flush = () => Promise.reject(error)
      const flushed = far.flush()
      await Promise.all([deliver(), expect(flushed).rejects.toMatchObject({ code: 'ERR_MEDIUM' })])
    }
  })

  test('hears of changes, cancels requests, and takes no more at once than fits between threads', async () => {
    const disc = new TestDisc(7, 1 << 20)
    const { far, deliver } = media(disc)
    let heard = 0
    far.onChange(() => heard++)
    expect(far.properties.maximumBytes).toBe(32 << 10)
    disc.resize(512)
    await deliver()
    expect([heard, far.properties.bytes]).toEqual([1, 512])
    const signals: boolean[] = []
    disc.read = async (_offset, _into, request?: { readonly signal?: { readonly aborted: boolean } }) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      signals.push(request?.signal?.aborted === true)
    }
    const abort = new AbortController()
    const read = far.read(0, new Uint8Array(512), { signal: abort.signal })
    await deliver()
    abort.abort()
    await deliver()
    await new Promise((resolve) => setTimeout(resolve, 10))
    await deliver()
    await read
    expect(signals).toEqual([true])
  })

  test('may have no limit for a request, also after a change', async () => {
    const disc = new TestDisc(7, 1 << 20)
    disc.properties = { ...disc.properties, maximumBytes: Infinity }
    const { far, deliver } = media(disc)
    disc.resize(1 << 21)
    await deliver()
    expect([far.properties.bytes, far.properties.maximumBytes]).toEqual([1 << 21, 32 << 10])
  })

  test('has a tray, if it can be exchanged', async () => {
    const drive = new RemovableDrive({ id: 'cd0', kind: 'cdrom', medium: new TestDisc(1, 4096, 2048) }, () => {})
    const { far, deliver } = media(drive)
    let asked = 0
    far.tray?.connect({ ejectRequested: () => asked++, refuses: () => null })
    far.tray?.moved({ open: false, locked: true })
    await deliver()
    expect([drive.isOpen, drive.isLocked]).toEqual([false, true])
    await expect(drive.eject()).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    await expect(drive.insert(new TestDisc(1, 8192, 4096))).rejects.toMatchObject({ code: 'ERR_OPTION' })
    await deliver()
    expect(asked).toBe(1)
    far.tray?.moved({ open: true, locked: false })
    await deliver()
    await drive.insert(new TestDisc(2, 8192, 2048))
    await deliver()
    expect([drive.isOpen, far.properties.bytes]).toEqual([true, 8192])
    expect(media(new TestDisc(1, 512)).far.tray).toBeUndefined()
  })

  test('answers nothing from a medium that the model has not heard of', async () => {
    const drive = new RemovableDrive({ id: 'cd0', kind: 'cdrom', medium: new TestDisc(1, 4096, 2048) }, () => {})
    const { far, deliver } = media(drive)
    const into = new Uint8Array(2048)
    const early = far.read(0, into)
    early.catch(() => {})
    await drive.insert(new TestDisc(2, 4096, 2048))
    await deliver()
    await expect(early).rejects.toMatchObject({ code: 'ERR_NO_MEDIUM' })
    const late = far.read(0, into)
    await deliver()
    await late
    expect(into[0]).toBe(2)
  })
})

describe('a network of another thread', () => {
  function networks() {
    const { end, deliver } = wire()
    const [sent, taken]: [number[], number[]] = [[], []]
    const state = { room: true, cardRoom: true, readies: 0, drains: 0, links: [] as boolean[] }
    let client: device.PacketClient | undefined
    const network: device.PacketBackend = {
      linkUp: false,
      maximumBytes: 1514,
      connect: (given) => void (client = given),
      send(frame) {
        if (state.room) sent.push(frame[0]!)
        return state.room
      },
      ready: () => state.readies++,
    }
    const far: FarNetwork = new FarNetwork(
      factsOf(network),
      end(() => near),
    )
    const near: NearNetwork = new NearNetwork(
      network,
      end(() => far),
    )
    far.connect({
      receive(frame) {
        if (state.cardRoom) taken.push(frame[0]!)
        return state.cardRoom
      },
      drained: () => state.drains++,
      linkChanged: (up) => void state.links.push(up),
    })
    return { far, network: () => client!, deliver, sent, taken, state }
  }
  const frame = (i: number): Uint8Array => new Uint8Array(60).fill(i)

  test('takes no more frames than fit, in order, and goes on when the network drains', async () => {
    const { far, network, deliver, sent, state } = networks()
    state.room = false
    for (let i = 0; far.send(frame(i)); i++);
    await deliver()
    state.room = true
    network().drained()
    await deliver()
    expect(sent).toEqual(Array.from({ length: MOST_FRAMES }, (_, i) => i))
    expect([state.drains, far.send(frame(0))]).toEqual([1, true])
  })

  test('brings frames, as many as the card takes', async () => {
    const { far, network, deliver, taken, state } = networks()
    state.cardRoom = false
    let offered = 0
    while (network().receive(frame(offered))) offered++
    await deliver()
    expect([offered, taken.length]).toEqual([MOST_FRAMES, 0])
    state.cardRoom = true
    far.ready()
    await deliver()
    expect(taken).toEqual(Array.from({ length: MOST_FRAMES }, (_, i) => i))
    expect([state.readies, network().receive(frame(1))]).toEqual([1, true])
  })

  test('tells of the cable', async () => {
    const { far, network, deliver, state } = networks()
    network().linkChanged(true)
    await deliver()
    expect([far.linkUp, state.links]).toEqual([true, [true]])
  })
})
