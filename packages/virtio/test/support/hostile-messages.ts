import { MemoryShare, type ShareFile, type ShareNode } from '../../src/p9.ts'
import { HEAD, MessageWriter } from '../../src/devices/p9/messages.ts'
import { LIMITS } from '../../src/devices/p9/fids.ts'
import { P9Session } from '../../src/devices/p9/session.ts'
import type { Choose } from './random-queue.ts'

const MESSAGE_BYTES = 8192
const MOST_BYTES = 1 << 20
const TYPES = [8, 12, 14, 16, 20, 22, 24, 26, 40, 50, 52, 54, 70, 72, 74, 76, 100, 104, 108, 110, 116, 118, 120, 122]
const NAMES = ['a', 'b', 'c', 'dir', '.', '..', '', 'a/b', '/', 'x'.repeat(300), 'ä', '\0', 'a\0b', '../..']

/** How many nodes and files of a share are in use. */
interface Uses {
  nodes: number
  files: number
}

/** A share that counts what is in use, and how often something is given back twice. */
function counting(share: MemoryShare, uses: Uses): { root(): Promise<ShareNode> } {
  const file = (inner: ShareFile): ShareFile => {
    uses.files++
    return {
      read: (offset, into) => inner.read(offset, into),
      write: (offset, from) => inner.write(offset, from),
      sync: () => inner.sync(),
      async close() {
        uses.files--
        await inner.close()
      },
    }
  }
  const inners = new WeakMap<ShareNode, ShareNode>()
  const node = (inner: ShareNode): ShareNode => {
    uses.nodes++
    let isReleased = false
    const use = (): ShareNode => {
      if (isReleased) throw new Error('a node is used after its release')
      return inner
    }
    const outer: ShareNode = {
      stat: () => use().stat(),
      change: (changes) => use().change(changes),
      room: () => use().room(),
      open: async (access) => file(await use().open(access)),
      readLink: (name) => use().readLink(name),
      child: async (name) => node(await use().child(name)),
      list: () => use().list(),
      async create(name, access) {
        const made = await use().create(name, access)
        return { node: node(made.node), file: file(made.file) }
      },
      makeDirectory: (name, mode) => use().makeDirectory(name, mode),
      makeLink: (name, text) => use().makeLink(name, text),
      addName: (name, directory, otherName) => use().addName(name, inners.get(directory)!, otherName),
      remove: (name, directory) => use().remove(name, directory),
      rename: (name, directory, newName) => use().rename(name, inners.get(directory)!, newName),
      release() {
        use().release()
        isReleased = true
        uses.nodes--
      },
    }
    inners.set(outer, inner)
    return outer
  }
  return { root: async () => node(share.root()) }
}

/** A driver that sends anything. @returns a line that says what is wrong, or undefined */
export async function hostileMessages(choose: Choose, steps: number): Promise<string | undefined> {
  const share = new MemoryShare({ mostBytes: MOST_BYTES })
  share.write('a', 'content')
  share.write('dir/b', 'more')
  const uses: Uses = { nodes: 0, files: 0 }
  const session = new P9Session(counting(share, uses), choose(4) === 0, { ...LIMITS, fids: 8, held: choose(3) })
  const version = (): Uint8Array => new MessageWriter().u32(MESSAGE_BYTES).text('9P2000.L').finish(100, 0xffff)
  const answer = async (message: Uint8Array): Promise<Uint8Array> => session.answer(message, () => true)
  await answer(version())
  await answer(new MessageWriter().u32(0).u32(0).text('').text('').u32(0).finish(104, 1))
  for (let i = 0; i < steps; i++) {
    const type = choose(20) === 0 ? choose(256) : TYPES[choose(TYPES.length)]!
    const writer = new MessageWriter()
    const fid = (): unknown => writer.u32(choose(6))
    const name = (): unknown => writer.text(NAMES[choose(NAMES.length)]!)
    const number = (): unknown => writer.u32([0, 1, 2, 0o300, 0o1002, 4096, 0xffff_ffff][choose(7)]!)
    const offset = (): unknown => writer.u64([0n, 1n, 4096n, 2n ** 40n, 2n ** 53n, 2n ** 64n - 1n][choose(6)]!)
    // The fields in the order that the kind has them, now and then in none.
    const shapes: Readonly<Record<number, readonly (() => unknown)[]>> = {
      12: [fid, number],
      14: [fid, name, number, number, number],
      16: [fid, name, name, number],
      20: [fid, fid, name],
      26: [fid, number, number, number, number, offset, offset, offset, offset, offset],
      40: [fid, offset, number],
      70: [fid, fid, name],
      72: [fid, name, number, number],
      74: [fid, name, fid, name],
      76: [fid, name, number],
      104: [fid, number, name, name, number],
      110: [fid, fid, () => writer.u16(2), name, name],
      116: [fid, offset, number],
      118: [fid, offset, () => writer.u32(5), () => writer.bytes(Uint8Array.of(1, 2, 3, 4, 5))],
    }
    if (type === 100) writer.u32(choose(2) * MESSAGE_BYTES).text(choose(2) === 0 ? '9P2000.L' : '9P')
    else if (choose(10) === 0) for (let at = choose(30); at > 0; at--) writer.u8(choose(256))
    else for (const field of shapes[type] ?? [fid, offset]) field()
    const message = writer.finish(type, i & 0x7fff)
    const found = await answer(message)
    const length = new DataView(found.buffer, found.byteOffset).getUint32(0, true)
    if (found.length < HEAD || length !== found.length) return `an answer of ${found.length} bytes says ${length}`
    if (found.length > MESSAGE_BYTES) return `an answer of ${found.length} bytes: the driver takes ${MESSAGE_BYTES}`
    if (session.messageBytes === 0) await answer(version())
  }
  await session.reset()
  return uses.nodes === 0 && uses.files === 0 ? undefined : `in use at the end: ${JSON.stringify(uses)}`
}
