import { GuestError } from './errors.ts'
import type { GuestProcess } from './guest-process.ts'

/** A TCP connection to a port of the guest. Made by `Guest.connect`. */
export interface GuestConnection {
  /**
   * The bytes of the guest; one reader. Throws `ERR_GUEST_CONNECT` where nothing accepts connections at the port, and other
   * GuestErrors where the agent was lost.
   */
  readonly readable: AsyncIterable<Uint8Array>
  /** Sends bytes. Settles when more may be sent. */
  write(bytes: Uint8Array): Promise<void>
  /** Ends the output; the guest may continue to send. */
  end(): void
  /** Breaks the connection off. */
  abort(): void
}

/** Most characters kept of a program's error message. */
const MOST_TEXT = 200

/** Names the first that the guest has of the programs that connect. */
export const FIND_PROGRAM = `exec 2>/dev/null
if command -v socat >/dev/null; then echo socat
elif case $(busybox nc --help 2>&1) in *BusyBox*) ;; *) false ;; esac; then echo busybox
elif nc --help 2>&1 | grep -q BusyBox; then echo nc
elif nc -h 2>&1 | grep -q -e ' -N'; then echo nc -N
elif command -v perl >/dev/null; then echo perl
fi
`

/** Commands of programs that start no others. Each ends its output when the guest's server does. */
const PROGRAMS: ReadonlyMap<string, string> = new Map([
  ['socat', 'socat -t 86400 - TCP4:ADDRESS:PORT'],
  ['busybox', 'busybox nc ADDRESS PORT'],
  ['nc', 'nc ADDRESS PORT'],
  ['nc -N', 'nc -N ADDRESS PORT'],
])

/** Unlike this one, other programs need a process for each direction. */
const PERL = `exec perl -e '
  use IO::Socket::INET; $| = 1;
  my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die "$@\\n";
  if (my $child = fork) {
    my $b; while (sysread STDIN, $b, 65536) { my $at = 0; $at += syswrite $s, $b, 65536, $at while $at < length $b }
    shutdown $s, 1; waitpid $child, 0; exit 0
  }
  my $b; while (sysread $s, $b, 65536) { my $at = 0; $at += syswrite STDOUT, $b, 65536, $at while $at < length $b }
  kill "TERM", getppid' ADDRESS PORT`

export interface ConnectCommand {
  readonly text: string
  /** The text is a program's name and arguments. */
  readonly isProgram: boolean
}

/**
 * Returns the command that connects to a port of the guest, from its standard input to its standard output.
 *
 * @param found - output of {@link FIND_PROGRAM}
 * @throws GuestError `ERR_GUEST_CONNECT` if the guest has no such program
 */
export function connectCommand(found: string, address: string, port: number): ConnectCommand {
  const program = PROGRAMS.get(found)
  const text = program ?? (found === 'perl' ? PERL : undefined)
  if (text === undefined)
    throw new GuestError(
      'ERR_GUEST_CONNECT',
      'the guest has no socat, nc of BusyBox or OpenBSD, or perl to connect with',
    )
  return { text: text.replace('ADDRESS', address).replace('PORT', String(port)), isProgram: program !== undefined }
}

/** A process that connects, as a connection. */
export function connectionOf(process: GuestProcess, port: number): GuestConnection {
  const trouble = textOf(process.stderr)
  async function* readable(): AsyncGenerator<Uint8Array, void> {
    let isEmpty = true
    for await (const part of process.stdout) {
      isEmpty = false
      yield part
    }
    const { exitCode } = await process.ended
    if (exitCode === 0 || !isEmpty) return
    const why = (await trouble).trim() || `the program that connects has ended with ${exitCode}`
    throw new GuestError('ERR_GUEST_CONNECT', `port ${port} of the guest: ${why}`)
  }
  return {
    readable: { [Symbol.asyncIterator]: readable },
    write: (bytes) => process.write(bytes),
    end: () => process.end(),
    abort: () => process.abort(),
  }
}

/** Reads a stream to its end, and keeps its beginning. */
export async function textOf(output: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  try {
    for await (const part of output)
      if (text.length < MOST_TEXT) text += new TextDecoder().decode(part.subarray(0, MOST_TEXT))
  } catch {
    // The reader of the other output gets the error.
  }
  return text
}
