/** What a run says that has found nothing of other runs. */
export const CANARIES = 'file- shm- etc- processes-0 host- clock- environment- kernel- terminal- end'

/**
 * A program of sh: it says random numbers, an identifier and the boot's, which are its own, and what it finds of other runs. Then it leaves
 * a file in /tmp, in shared memory and in /etc, a process, a name of the host, a clock, a setting of the kernel and one of the terminal.
 */
export const canaryScript = (run: number): string => `
say() { printf '%s-%s ' "$1" "$(eval "$2")"; }
printf '%s %s %s ' "$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')" $(cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id)
for place in file:/tmp shm:/dev/shm etc:/etc; do say \${place%:*} "cat \${place#*:}/canary 2>/dev/null"; done
say processes 'ps axo comm= | grep -c "^sleep"'
say host 'hostname | grep canary'
say clock '[ $(date +%s) -gt 1700000000 ] || date'
say environment 'env | grep CANARY'
say kernel 'grep 42 /proc/sys/kernel/panic'
say terminal 'stty -F /dev/hvc0 size | grep 77'
echo end
export CANARY=${run}
for place in /tmp /dev/shm /etc; do echo ${run} >$place/canary; done
sleep 4242 &
hostname canary${run}
echo 42 >/proc/sys/kernel/panic
stty -F /dev/hvc0 rows 77
date -s @1000000000 >/dev/null`
