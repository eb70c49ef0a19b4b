# headers_cxx.sh - every public header compiles alone as C++17.
set -eu
case ${CC:-gcc} in
*clang*) cxx=$(echo "$CC" | sed 's/clang/clang++/') ;;
*) cxx=$(echo "${CC:-gcc}" | sed 's/gcc/g++/; s/^cc$/c++/') ;;
esac
if ! echo '#include <cstddef>' | $cxx -x c++ -fsyntax-only - 2>/dev/null; then
    echo "no C++ compiler ($cxx)"
    exit 77
fi
status=0
for h in include/gwen/*.h; do
    echo "#include \"$h\"" | $cxx -std=c++17 -pedantic -Wall -Wextra -Werror -Iinclude -I. \
        -x c++ -fsyntax-only - || status=1
done
exit $status
