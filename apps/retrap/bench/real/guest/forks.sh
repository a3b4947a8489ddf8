# Starts a program a round, as a configure script does: a fork, an execve, a pipe, a wait.
i=0
sum=0
while [ $i -lt "$1" ]; do
  i=$((i + 1))
  sum=$(expr $sum + $i)
done
echo "$i forks, $sum"
