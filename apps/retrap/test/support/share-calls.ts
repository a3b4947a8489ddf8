// Drawn calls on a memory share and a folder of the host.
import * as fs from 'node:fs'
import { MemoryShare, type ShareFile, type ShareNode } from '@retrap/virtio/p9'
import { LocalShare } from '../../src/machine/share/local-share.ts'

const CALLS = 80
const [KIND, DIRECTORY, REGULAR] = [0o170_000, 0o040_000, 0o100_000]
const NAMES = ['a', 'b', 'c', 'd'] as const
const FLAGS = [false, true]

/** A call on what a driver has looked up and opened so far, whose places in the lists are drawn. */
type Call = (held: Held) => Promise<unknown>

/** What a driver holds of a share. */
interface Held {
  readonly nodes: ShareNode[]
  /** Those that are directories: drivers look for names in no others. */
  readonly folders: ShareNode[]
  readonly files: ShareFile[]
}

/** Attributes, except those of directories that file systems differ in, and the times. */
async function attributes(node: ShareNode): Promise<unknown> {
  const { mode, uid, gid, links, size } = await node.stat()
  return (mode & KIND) === DIRECTORY ? [mode, uid, gid] : [mode, uid, gid, links, size]
}

function drawn(below: (bound: number) => number): readonly [string, Call] {
  const pick = <T>(all: readonly T[]): T => all[below(all.length)]!
  const [name, other, first, second, far] = [pick(NAMES), pick(NAMES), below(1 << 20), below(1 << 20), below(30)]
  const node = ({ nodes }: Held): ShareNode => nodes[first % nodes.length]!
  const folder = ({ folders }: Held): ShareNode => folders[first % folders.length]!
  const otherFolder = ({ folders }: Held): ShareNode => folders[second % folders.length]!
  const file = ({ files }: Held): ShareFile | undefined => files[first % files.length]
  const mode = pick([0o600, 0o644, 0o1750, 0o2755, 0o4755])
  const owner = { uid: pick([0, 1000]), gid: pick([0, 1001]) }
  const access = { read: true, write: true, truncate: pick(FLAGS), append: pick(FLAGS) }
  const text = pick(['', 'x', 'some text'])
  const calls: Readonly<Record<string, Call>> = {
    async child(held) {
      const found = await folder(held).child(name)
      held.nodes.push(found)
      if (((await found.stat()).mode & KIND) === DIRECTORY) held.folders.push(found)
    },
    // The server opens nothing else.
    open: async (held) =>
      ((await node(held).stat()).mode & KIND) === REGULAR && held.files.push(await node(held).open(access)),
    async create(held) {
      const made = await folder(held).create(name, { ...access, ...owner, mode, exclusive: far > 20 })
      held.nodes.push(made.node)
      held.files.push(made.file)
    },
    makeDirectory: async (held) => folder(held).makeDirectory(name, mode, owner),
    makeLink: async (held) => folder(held).makeLink(name, text || 'there', owner),
    addName: async (held) => folder(held).addName(name, otherFolder(held), other),
    remove: async (held) => folder(held).remove(name, far > 15),
    rename: async (held) => folder(held).rename(name, otherFolder(held), other),
    readLink: async (held) => folder(held).readLink(name),
    list: async (held) => (await folder(held).list()).toSorted(),
    stat: async (held) => attributes(node(held)),
    mode: async (held) => node(held).change({ mode }),
    owner: async (held) => node(held).change(owner),
    nothing: async (held) => node(held).change({}),
    size: async (held) => node(held).change({ size: far }),
    times: async (held) => {
      await node(held).change({ accessedNs: 1_000_000_000n, modifiedNs: BigInt(far) * 1_000_000_000n })
      return Number((await node(held).stat()).modifiedNs)
    },
    write: async (held) => file(held)?.write(far, Buffer.from(text)),
    async read(held) {
      const into = Buffer.alloc(40)
      return [await file(held)?.read(far, into), into.toString()]
    },
  }
  const kind = pick(Object.keys(calls))
  return [kind, below(10) === 0 ? timed(calls[kind]!) : calls[kind]!]
}

/** Adds to a call's outcome which files have other times afterwards. */
const timed =
  (call: Call): Call =>
  async (held) => {
    const all = [...held.nodes]
    const times = async (): Promise<readonly (readonly bigint[])[]> =>
      Promise.all(all.map(async (one) => [(await one.stat()).modifiedNs, (await one.stat()).changedNs]))
    const before = await times()
    await new Promise((resolve) => setTimeout(resolve, 5))
    const result = await outcome(call, held)
    return [result, (await times()).map((now, i) => now.map((time, j) => time !== before[i]![j]))]
  }

async function outcome(call: Call, held: Held): Promise<unknown> {
  try {
    return (await call(held)) ?? 'done'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

/** Makes drawn calls on a memory share and an empty folder of the host. @returns what differs */
export async function compareShares(folder: string, below: (bound: number) => number): Promise<string | undefined> {
  fs.chmodSync(folder, 0o755)
  const local = new LocalShare(folder)
  const roots = [local.root(), new MemoryShare().root()]
  const [first, second] = roots.map((root): Held => ({ nodes: [root], folders: [root], files: [] }))
  const done: string[] = []
  try {
    for (let i = 0; i < CALLS; i++) {
      const [kind, call] = drawn(below)
      const [host, memory] = [JSON.stringify(await outcome(call, first!)), JSON.stringify(await outcome(call, second!))]
      if (host !== memory) return `${done.join('\n')}\n${kind}: on the host ${host}, in memory ${memory}`
      done.push(`${kind} ${host}`)
    }
  } finally {
    await local.close()
  }
  return undefined
}
