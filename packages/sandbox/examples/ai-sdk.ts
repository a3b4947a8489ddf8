// A sandbox for the AI SDK (npm `ai`, from version 7 on): its `experimental_sandbox`, which tools get.
import type {
  Experimental_SandboxRunOptions as Options,
  Experimental_SandboxSession as Session,
  Experimental_SandboxSpawnOptions as SpawnOptions,
} from '@ai-sdk/provider-utils'
import { Sandbox, SandboxError } from '@retrap/sandbox'

/** A file that is not there is null. */
const orNull = <T>(file: Promise<T>): Promise<T | null> =>
  file.catch((error: unknown) => {
    if (error instanceof SandboxError && error.errno === 'ENOENT') return null
    throw error
  })
const stream = (bytes: Uint8Array): ReadableStream<Uint8Array> => ReadableStream.from([bytes])
const read = (bytes: Uint8Array | null, encoding?: string) => bytes && new TextDecoder(encoding).decode(bytes)
const as = ({ workingDirectory: cwd, env, abortSignal: signal }: Options) => ({ cwd, env, signal })

function sessionOf(box: Sandbox): Session {
  const { files } = box
  return {
    description: 'Linux on x86-64 as root. Nothing but the network names that were given is reached.',
    async run(options) {
      const { code: exitCode, ...printed } = await box.run(options.command, as(options))
      return { exitCode, ...printed }
    },
    spawn: (async (options: SpawnOptions) => {
      const running = await box.spawn(options.command, { ...as(options), stdin: options.stdin === true })
      const wait = async () => ({ exitCode: (await running.ended).code })
      return { ...running, wait, kill: async () => running.kill('SIGKILL') }
    }) as Session['spawn'],
    readFile: async ({ path }) => orNull(files.read(path).then(stream)),
    readBinaryFile: ({ path }) => orNull(files.read(path)),
    async readTextFile({ path, encoding, startLine = 1, endLine }) {
      const text = read(await orNull(files.read(path)), encoding)
      return (
        text &&
        text
          .split(/(?<=\n)/)
          .slice(startLine - 1, endLine)
          .join('')
      )
    },
    writeFile: async ({ path, content }) =>
      files.write(path, new Uint8Array(await new Response(content).arrayBuffer())),
    writeBinaryFile: ({ path, content }) => files.write(path, content),
    writeTextFile: ({ path, content, encoding }) => files.write(path, Buffer.from(content, encoding as BufferEncoding)),
    async stat({ path }) {
      const found = await orNull(files.stat(path))
      return found && { size: found.size, type: found.type === 'symlink' ? 'other' : found.type }
    },
    listDirectory: async ({ path }) => orNull(files.list(path).then((all) => [...all])),
    async deleteFile({ path }) {
      return (await orNull(files.remove(path).then(() => true))) ?? false
    },
  }
}

await using box = await Sandbox.open({ cwd: '/work' })
const session = sessionOf(box)
await session.writeTextFile({ path: 'poem', content: 'roses\nviolets\n' })
console.log(await session.run({ command: 'wc -l poem; ls nowhere 2>/dev/null' }))
console.log(await session.readTextFile({ path: 'poem', startLine: 2 }), await session.stat({ path: 'nowhere' }))

// Output:
// { exitCode: 2, stdout: '2 poem\n', stderr: '' }
// violets
//  null
