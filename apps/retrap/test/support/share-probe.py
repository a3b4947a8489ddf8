# File system calls and their answers, a line for each, for a comparison of a folder with a share of it:
#   python3 share-probe.py FOLDER EVERY FIRST      the lines of CALLS, with each EVERY-th choice of {braces} from the FIRST
#   python3 share-probe.py FOLDER draw SEED COUNT  COUNT calls of three processes, drawn from DRAWN
#   python3 share-probe.py FOLDER prepare          makes `pipe`, `socket` and `old`, which no guest makes
# A call with [brackets] is made with each choice. `@1 call` is one of another
# process, `as 77 call` one of user and group 77, `at d call` one in an open folder, and `times file call` says what it moves of a file's times.
import ctypes, errno, fcntl, itertools, mmap, os, random, re, shutil, socket, stat, struct, subprocess, sys, time
from urllib.parse import unquote_to_bytes

CALLS = r'''
reset; open a {file,missing,folder,link,dangling,round,file/below,socket,pipe} {RDONLY,WRONLY,RDWR}|NONBLOCK|{,CREAT,CREAT|EXCL,TRUNC,CREAT|TRUNC,APPEND,DIRECTORY,NOFOLLOW,CREAT|NOFOLLOW,CREAT|DIRECTORY,PATH}; fstat a; write a AB; pread a 20 0; lseek a 0 1; lstat [missing,nowhere]
reset; open a other RDWR; {rename,link} {file,folder,full,link,pipe,missing,full/inner} {other,folder,full,file,folder/in,full/inner,missing/x,.}; list [.,full,folder]; fstat a; read a 20
reset; {unlink,rmdir,mkdir,readlink,list,access 4,access 1,truncate 3,chmod 711,stat,lstat,chown 0 0} {file,folder,full,missing,.,file/,folder/,link,link/,round,pipe,socket}; list .; lstat file
reset; [create,mkdir,symlink x] [n*255,n*256,%C3%A9*127,%C3%A9*128,%FF%FE,caf%E9,a%0Ab,%20]; list .; lstat [caf%E9,%20]
reset; symlink [file,x*4095,x*4096,../..,/,%FF] l; readlink l; lstat l
reset; appenders 4 60 log; open a log RDWR|APPEND; pwrite a +one 1; lseek a 0 0; write a +two; lseek a 0 1; open b log WRONLY; pwrite b S 0; ftruncate b 3; write a +three; pread a 50 0; ftruncate b 0; write a x; pread a 50 0
reset; open a file RDWR; open b other RDWR; unlink file; fstat a; write a gone; pread a 9 0; ftruncate a 2; fchmod a 600; create file; fstat a; rename file other; fstat b; write b xy; pread b 9 0; lstat other; mmap m a 2; get m; fsync b
reset; open d folder DIRECTORY; rename folder full/moved; at d [create,mkdir] x; list full/moved; at d unlink x; fstat d; rmdir full/moved; fstat d; at d [create,mkdir] y; read d 1; fsync d; fchmod d 700
reset; open a file RDWR; times file [read a 3,write a x,write a ,ftruncate a 3,chmod 600 file,chown -1 -1 file,link file second,rename file file,access 4 file,fsync a]; times . [create new,mkdir made,unlink file,symlink x l,rename new other,list .,rmdir folder,chmod 755 .]
reset; utime [1000000000 2000000000,0 0,1500000000 5] [file,folder,link,pipe]; lstat old; ages old
reset; umask {0,27}; chmod [0,4755,2755,1777,6711,2644] [file,folder,pipe]; mkdir folder/a; lstat folder/a; open a new CREAT|WRONLY {640,4755,2711}; fstat a
reset; chown [1000 -1,-1 1001,1000 1001] [file,folder,link,pipe]; chmod 6755 file; chown [5 -1,-1 5,0 0] file; chmod 6755 file; open a file RDWR; write a x; fstat a
reset; chmod 755 .; chown 1 1234 full; chmod 2777 full; as 77 {create,mkdir,symlink x,link file} full/new; lstat full/new; chmod 1777 full; as 78 [unlink,rmdir] full/new; as 77 [unlink,rmdir] full/new
reset; chmod 755 .; chown {77 0,0 77,0 0} file; chmod {0,400,200,40,60,6,666} file; as 77 [open a file RDONLY,open a file WRONLY|APPEND,open a file RDWR|TRUNC,chmod 4777 file,chown 77 77 file,utime 5 6 file,create mine]
reset; open a file RDWR; pwrite a end 1000000; pread a 5 500000; ftruncate a [3000000,1000001,1000010]; pread a 20 999999; ftruncate a -1; lseek a -3 2; read a 9; lseek a -1 0; posix_fallocate a 0 8192; open b copy RDWR|CREAT; copy_file_range a b 100; sendfile b a 50; pread b 200 0; fill a [1,4095,4097,262000,600000]; fstat a
reset; open a file RDWR; [flock,lockf] a [SH,EX,UN]; @1 open a file RDWR; flock a EX; @1 flock a [SH,EX]; flock a SH; @1 flock a SH; @1 flock a UN; flock a UN; lockf a EX; @1 lockf a SH; @1 getlk a; close a; @1 lockf a EX; @1 close a; racers 5 first
reset; open a file RDWR; mmap m a 7; set m 0 AB; msync m; pread a 9 0; pwrite a cd 2; get m; @1 open a file RDWR; @1 mmap m a 7; @1 get m; @1 set m 4 Z; get m; munmap m; @1 munmap m; @1 close a; read a 9; unlink file; mmap n a 7; set n 0 unlinkd; munmap n; pread a 9 0
reset; open a {file,folder,pipe} {RDONLY,RDWR}|NONBLOCK; mmap m a 7 {SHARED,PRIVATE} {READ,READ|WRITE}; set m 0 x; get m; lstat file; munmap m; read a 3
reset; script file; run ./file; chmod 644 file; run ./file; busy other; stat other
reset; types .; inodes .; mknod 100640 plain; lstat plain; connect socket; open a pipe RDWR|NONBLOCK; write a through; read a 9; open b file WRONLY|SYNC; write b x; fsync b; many 300; renameat2 file other 1
reset; [setxattr,getxattr,removexattr] file; listxattr file; mkfifo new; mknod 20666 null; bind bound; open a . TMPFILE|RDWR; renameat2 folder full 2; open b file RDWR; flock b EX; @1 open b file RDWR; @1 lockf b SH; open e file RDWR; flock e EX; link other twin; open f other RDWR; lockf f EX; @1 open g twin RDWR; @1 lockf g SH; fallocate b; punch b; pwrite b far 5000000000; pread b 9 5000000000; few b; ftruncate b 7; pwrite b x 100000; lseek b 5000 3; lseek b 0 4; mmap m b 7; set m 0 X; pread b 3 0; utime 1.5 -1.5 other; open c other WRONLY|APPEND; setfl c 0; pwrite c Y 1; open d other RDONLY; read d 9
'''
DRAWN = r'''
{,@1,@2} open {a,b} {file,other,folder/x,folder/y,link} {RDONLY,RDWR,RDWR|CREAT,RDWR|CREAT|EXCL,RDWR|TRUNC,WRONLY|APPEND|CREAT,RDWR|APPEND}
{,@1,@2} {close a,fstat a,write a AB,write b CDE,write b f,pread a 9 0,pread b 9 2,ftruncate a 4,lseek a 0 1,lseek b 2 0}
{,@1,@2} {open c mapped RDWR,mmap m c 9,munmap m,get m,store m 1 mm,pwrite c xy 2,pread c 9 0}
{,@1,@2} lockf c {SH,EX,UN}
{,@1,@2} {rename,link} {file,other,folder/x,folder,full} {file,other,folder/x,folder/y,full,link}
{,@1,@2} {unlink,rmdir,mkdir,create,lstat,list,readlink,truncate 2,chmod 2711,chmod 640,chown 5 6,symlink other} {file,other,folder/x,folder/y,folder,full,link,.}
'''
libc = ctypes.CDLL(None, use_errno=True)
fds, maps = {}, {}
flags = lambda prefix, module, text: sum(getattr(module, prefix + one) for one in text.split('|') if one)
name = lambda text: os.fsdecode(unquote_to_bytes(re.sub(r'^(.+)\*(\d+)$', lambda m: m[1] * int(m[2]), text)))

def c(function, *args):
    if (result := getattr(libc, function)(*args)) < 0: raise OSError(ctypes.get_errno(), function)
    return result

def attributes(at, follow=False):
    s = os.fstat(at) if type(at) is int else os.stat(at, follow_symlinks=follow)
    return '%o %d %d %s' % (s.st_mode, s.st_uid, s.st_gid, 'folder' if stat.S_ISDIR(s.st_mode) else '%d %d' % (s.st_nlink, s.st_size))

def put(path, data, mode=0o644):
    with open(path, 'wb') as f: f.write(data), os.fchmod(f.fileno(), mode)

def close_all():
    for fd in fds.values(): os.close(fd)
    fds.clear(), maps.clear()

def reset():
    close_all(), os.umask(0o22)
    for one in os.listdir('.'):
        if one not in ('pipe', 'socket', 'old'): shutil.rmtree(one) if os.path.isdir(one) and not os.path.islink(one) else os.unlink(one)
    os.mkdir('folder'), os.mkdir('full'), put('file', b'content'), put('other', b'another'), put('full/inner', b''), put('mapped', b'never cut')
    for text, link in ('file', 'link'), ('nowhere', 'dangling'), ('round', 'round'): os.symlink(text, link)

def processes(count, act):
    """The sum of the exit codes of an act in processes."""
    children = [os.fork() or os._exit(act(i) or 0) for i in range(count)]
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)

def appenders(count, lines, path):
    def act(i):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for j in range(int(lines)): os.write(fd, b'%d %d\n' % (i, j))
    processes(int(count), act)
    return len(set(open(path).read().split('\n')))

def racer(path):
    try: os.open(path, os.O_CREAT | os.O_EXCL)
    except FileExistsError: return 1

def times(path, *call):
    time.sleep(0.02)
    of = lambda: [getattr(os.lstat(path), one) for one in ('st_atime_ns', 'st_mtime_ns', 'st_ctime_ns')] if os.path.lexists(path) else []
    before, result = of(), answer(call)
    return result, [x != y for x, y in zip(before, of())]

def as_user(user, *call):
    r, w = os.pipe()
    def act(_): os.setgroups([]), os.setgid(int(user)), os.setuid(int(user)), os.write(w, answer(call).encode())
    processes(1, act), os.close(w)
    with os.fdopen(r) as f: return f.read()

def at(d, *call):
    here = os.open('.', os.O_RDONLY)
    os.fchdir(fds[d])
    try: return answer(call)
    finally: os.fchdir(here), os.close(here)

def utime(a, m, path):
    os.utime(path, ns=(int(float(a) * 10**9), int(float(m) * 10**9)), follow_symlinks=False)
    return os.lstat(path).st_atime_ns, os.lstat(path).st_mtime_ns

def fill(d, count):
    data = random.Random(count).randbytes(int(count))
    return os.pwrite(fds[d], data, 7), os.pread(fds[d], len(data), 7) == data

def busy(path):
    shutil.copy('/bin/sleep', path), os.chmod(path, 0o755)
    child = subprocess.Popen(['./' + path, '60'])
    try: return answer(('open', 'w', path, 'WRONLY'))
    finally: child.kill(), child.wait()

def many(count):
    for i in range(int(count)): put('many%d' % i, b'')
    return sum(1 for e in os.scandir('.') if e.name[:4] == 'many' and not os.unlink(e.name))

LOCK = lambda kind: struct.pack('hhqqi4x', kind, 0, 2, 3, 0)
OPS = {
    'exit': lambda: os._exit(0), 'reset': reset, 'appenders': appenders, 'racers': lambda n, path: processes(int(n), lambda _: racer(path)), 'times': times, 'as': as_user, 'at': at, 'utime': utime, 'fill': fill, 'busy': busy, 'many': many,
    'open': lambda d, path, how, mode='640': fds.update({d: os.open(name(path), flags('O_', os, how), int(mode, 8))}), 'close': lambda d: os.close(fds.pop(d)), 'create': lambda path: put(name(path), b'new'),
    'read': lambda d, n: os.read(fds[d], int(n)), 'pread': lambda d, n, at: os.pread(fds[d], int(n), int(at)), 'write': lambda d, text='': os.write(fds[d], text.encode()), 'pwrite': lambda d, text, at: os.pwrite(fds[d], text.encode(), int(at)),
    'lseek': lambda d, to, how: os.lseek(fds[d], int(to), int(how)), 'ftruncate': lambda d, n: os.ftruncate(fds[d], int(n)), 'truncate': lambda n, path: os.truncate(path, int(n)), 'fsync': lambda d: os.fsync(fds[d]), 'few': lambda d: os.fstat(fds[d]).st_blocks < 200,
    'fstat': lambda d: attributes(fds[d]), 'stat': lambda path: attributes(path, True), 'lstat': lambda path: attributes(name(path)), 'ages': lambda path: (os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns),
    'unlink': os.unlink, 'rmdir': os.rmdir, 'mkdir': lambda path: os.mkdir(name(path)), 'rename': os.rename, 'link': lambda a, b: os.link(a, b, follow_symlinks=False), 'symlink': lambda text, path: os.symlink(name(text), name(path)), 'readlink': os.readlink,
    'list': lambda path: sorted(os.listdir(path)), 'types': lambda path: sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink(), e.is_file(follow_symlinks=False)) for e in os.scandir(path)), 'inodes': lambda path: all(e.inode() == os.lstat(e).st_ino for e in os.scandir(path)),
    'access': lambda how, path: os.access(path, int(how)), 'chmod': lambda mode, path: (os.chmod(path, int(mode, 8)), attributes(path)), 'fchmod': lambda d, mode: os.fchmod(fds[d], int(mode, 8)), 'chown': lambda uid, gid, path: (os.chown(path, int(uid), int(gid), follow_symlinks=False), attributes(path)), 'umask': lambda mode: os.umask(int(mode, 8)),
    'flock': lambda d, how: fcntl.flock(fds[d], flags('LOCK_', fcntl, how + '|NB')), 'lockf': lambda d, how: fcntl.lockf(fds[d], flags('LOCK_', fcntl, how if how == 'UN' else how + '|NB'), 2, 3), 'getlk': lambda d: struct.unpack('hhqqi4x', fcntl.fcntl(fds[d], fcntl.F_GETLK, LOCK(fcntl.F_WRLCK)))[:4],
    'mmap': lambda m, d, n, kind='SHARED', may='READ|WRITE': maps.update({m: mmap.mmap(fds[d], int(n), flags('MAP_', mmap, kind), flags('PROT_', mmap, may))}), 'munmap': lambda m: maps.pop(m).close(), 'get': lambda m: maps[m][:], 'set': lambda m, at, text: maps[m].__setitem__(slice(int(at), int(at) + len(text)), text.encode()), 'msync': lambda m: maps[m].flush(), 'store': lambda *call: (OPS['set'](*call), maps[call[0]].flush()),
    'script': lambda path: put(path, b'#!/bin/sh\necho by $0\n', 0o755), 'run': lambda path: os.popen(path + ' 2>&-').read(), 'connect': lambda path: socket.socket(socket.AF_UNIX).connect(path), 'bind': lambda path: socket.socket(socket.AF_UNIX).bind(path),
    'posix_fallocate': lambda d, at, n: os.posix_fallocate(fds[d], int(at), int(n)), 'copy_file_range': lambda a, b, n: os.copy_file_range(fds[a], fds[b], int(n), 999990, 0), 'sendfile': lambda to, d, n: os.sendfile(fds[to], fds[d], 999990, int(n)), 'renameat2': lambda a, b, how: c('renameat2', -100, a.encode(), -100, b.encode(), int(how)),
    'fallocate': lambda d: c('fallocate', fds[d], 0, ctypes.c_long(0), ctypes.c_long(9000)), 'punch': lambda d: c('fallocate', fds[d], 3, ctypes.c_long(0), ctypes.c_long(4096)), 'mkfifo': os.mkfifo, 'mknod': lambda mode, path: os.mknod(path, int(mode, 8), os.makedev(1, 3)), 'setfl': lambda d, how: fcntl.fcntl(fds[d], fcntl.F_SETFL, int(how)),
    'setxattr': lambda path: os.setxattr(path, 'user.one', b'value'), 'getxattr': lambda path: os.getxattr(path, 'user.one'), 'removexattr': lambda path: os.removexattr(path, 'user.one'), 'listxattr': os.listxattr,
}

def answer(call):
    try: shown = ascii(OPS[call[0]](*call[1:]))
    except OSError as error: shown = errno.errorcode[error.errno]
    except (KeyError, IndexError, ValueError, TypeError) as error: shown = type(error).__name__
    return re.sub(r'(\w)\1{99,}', lambda m: '%s*%d' % (m[1], len(m[0])), shown)

def worker():
    """Starts a process without open files. Returns a function that has it make a call."""
    (r, w), (back, done) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(w), close_all()
        for line in os.fdopen(r): tell(line.rstrip('\n')), os.write(done, b'.')
    os.close(r), os.close(done)
    return lambda call: (os.write(w, call.encode() + b'\n'), os.read(back, 1))

def tell(line):
    print(line, '=', answer(line.split(' ')), flush=True)

def choices(text, brackets=r'\{(.*?)\}'):
    parts = re.split(brackets, text)
    return [''.join(one) for one in itertools.product(*[part.split(',') if i % 2 else [part] for i, part in enumerate(parts)])]

os.chdir(sys.argv[1])
if sys.argv[2] == 'prepare': sys.exit((os.mkfifo('pipe'), socket.socket(socket.AF_UNIX).bind('socket'), put('old', b''), os.utime('old', ns=(-1500000000, -500000000))) and 0)
if sys.argv[2] == 'draw':
    rng = random.Random(int(sys.argv[3]))
    lines = ['reset; ' + '; '.join(rng.choice(choices(rng.choice(DRAWN.split('\n')[1:-1]))).strip() for _ in range(int(sys.argv[4])))]
else: lines = [one for line in CALLS.split('\n')[1:-1] for one in choices(line)][int(sys.argv[3])::int(sys.argv[2])]
for line in lines:
    others = {}
    for call in (one for text in line.split('; ') for one in choices(text, r'\[(.*?)\]')):
        if call[0] != '@': tell(call)
        elif call[:2] in others: others[call[:2]](call[3:])
        else: others.setdefault(call[:2], worker())(call[3:])
    for other in others.values(): other('exit')
