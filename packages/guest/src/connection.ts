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
  /** Sends no more; the guest may go on sending. */
  end(): void
  /** Breaks the connection off. */
  abort(): void
}

/** Of what a program says of its failure. */
const MOST_TEXT = 200

/** Programs that connect in the guest: the first that it has. Each ends its output when the guest's server does. */
const PROGRAMS = `
if command -v socat >/dev/null; then exec socat -t 86400 - "TCP4:$a:$p"
elif case $(busybox nc --help 2>&1) in *BusyBox*) ;; *) false ;; esac; then exec busybox nc "$a" "$p"
elif nc --help 2>&1 | grep -q BusyBox; then exec nc "$a" "$p"
elif nc -h 2>&1 | grep -q -e ' -N'; then exec nc -N "$a" "$p"
elif command -v perl >/dev/null; then exec perl -e '
  use IO::Socket::INET; $| = 1;
  my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die "$@\\n";
  if (my $child = fork) {
    my $b; while (sysread STDIN, $b, 65536) { my $at = 0; $at += syswrite $s, $b, 65536, $at while $at < length $b }
    shutdown $s, 1; waitpid $child, 0; exit 0
  }
  my $b; while (sysread $s, $b, 65536) { my $at = 0; $at += syswrite STDOUT, $b, 65536, $at while $at < length $b }
  kill "TERM", getppid' "$a" "$p"
else echo "the guest has no socat, nc of BusyBox or OpenBSD, or perl to connect with" >&2; exit 69
fi
`

/** Returns the command that connects to a port of the guest, from its standard input to its standard output. */
export const connectCommand = (address: string, port: number): string => `a=${address} p=${port}${PROGRAMS}`

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

/** Reads an output to its end, and keeps its beginning. */
async function textOf(output: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  try {
    for await (const part of output)
      if (text.length < MOST_TEXT) text += new TextDecoder().decode(part.subarray(0, MOST_TEXT))
  } catch {
    // The reader of the other output has the error.
  }
  return text
}
